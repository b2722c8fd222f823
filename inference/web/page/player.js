// One video contains all panes side by side and is drawn pane by pane, so they cannot drift apart.
// Keys: space, arrows (one frame), Home, End.

const ICONS = {
  play: '<path d="M7 4.5v15l12-7.5z"/>',
  pause: '<path d="M7 5h3.5v14H7zM13.5 5H17v14h-3.5z"/>',
  back: '<path d="M15 5v14L6 12z"/>',
  on: '<path d="M9 5v14l9-7z"/>',
  sound: '<path d="M4 9.5v5h3.5L12 18V6L7.5 9.5zM15 9c1.7 1.7 1.7 4.3 0 6M17.5 6.5c3 3 3 8 0 11"/>',
  silent: '<path d="M4 9.5v5h3.5L12 18V6L7.5 9.5zM15.5 9.5l5 5M20.5 9.5l-5 5"/>',
};

function icon(name) {
  const isLine = name === "sound" || name === "silent" ? ' class="line"' : "";
  return `<svg viewBox="0 0 24 24" aria-hidden="true"${isLine}>${ICONS[name]}</svg>`;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export class Player {
  // facts: { panes: [names], height, width, num_frames, fps, has_sound, isSlides }; canWipe: two panes over each other
  constructor(root, { canWipe = false } = {}) {
    this.root = root;
    this.canWipe = canWipe;
    this.isWipe = false;
    this.facts = null;
    this.video = element("video", { muted: true, loop: true, playsInline: true, preload: "auto" });
    this.panes = element("div", { className: "panes" });
    this.play = this.button("play", "Play", () => this.toggle());
    this.slider = element("input", { type: "range", min: 0, value: 0, step: 1 });
    this.slider.setAttribute("aria-label", "Frame");
    this.output = element("output");
    this.sound = this.button("silent", "Sound is off", () => this.toggleSound());
    this.wipe = element("button", { type: "button", textContent: "Compare" });
    this.wipe.setAttribute("aria-pressed", "false");
    this.wipe.title = "Show the result over the source, with a movable line between them";
    this.wipe.onclick = () => this.setWipe(!this.isWipe);
    this.wipeAt = element("input", {
      type: "range", min: 0, max: 100, value: 50, className: "wipe-at", hidden: true,
    });
    this.wipeAt.setAttribute("aria-label", "Position of the line between source and result");
    this.wipeAt.oninput = () => this.setLine(this.wipeAt.value);
    const controls = element(
      "div",
      { className: "controls" },
      this.play,
      this.button("back", "One frame back", () => this.step(-1)),
      this.button("on", "One frame forward", () => this.step(1)),
      this.slider,
      this.output,
      this.sound,
    );
    if (canWipe) controls.append(this.wipe);
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Synchronised videos side by side");
    root.replaceChildren(this.video, this.panes, this.wipeAt, controls);
    this.slider.oninput = () => {
      this.video.pause();
      this.seek(Number(this.slider.value));
    };
    this.video.onloadeddata = this.video.onseeked = () => this.draw();
    this.video.onplay = this.video.onpause = () => this.showState();
    root.onkeydown = (event) => this.key(event);
    this.panes.onpointerdown = this.panes.onpointermove = (event) => {
      if (!this.isWipe || (event.type === "pointermove" && !event.buttons)) return;
      const box = this.panes.getBoundingClientRect();
      this.setLine((100 * (event.clientX - box.left)) / box.width);
    };
  }

  button(name, label, onclick) {
    const made = element("button", { type: "button", innerHTML: icon(name), onclick, title: label });
    made.setAttribute("aria-label", label);
    return made;
  }

  open(src, facts, { play = true } = {}) {
    this.facts = facts;
    this.sound.hidden = !facts.has_sound;
    this.slider.max = facts.num_frames - 1;
    this.canvases = facts.panes.map((name) => {
      const canvas = element("canvas", { width: facts.width, height: facts.height });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", name);
      return canvas;
    });
    this.panes.dataset.panes = facts.panes.length;
    this.panes.style.setProperty("--panes", facts.panes.length);
    this.panes.replaceChildren(
      ...this.canvases.map((canvas, index) =>
        element("figure", {}, canvas, element("figcaption", { textContent: facts.panes[index] })),
      ),
    );
    this.setWipe(false);
    this.video.src = src;
    this.show(0);
    this.showState();
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (play && !isCalm) this.video.play().catch(() => {}); // a browser may want a click first
  }

  close() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.facts = null;
  }

  toggle() {
    if (this.video.paused) this.video.play();
    else this.video.pause();
  }

  toggleSound() {
    this.video.muted = !this.video.muted;
    this.sound.innerHTML = icon(this.video.muted ? "silent" : "sound");
    const label = this.video.muted ? "Sound is off" : "Sound is on";
    this.sound.setAttribute("aria-label", label);
    this.sound.title = label;
  }

  step(frames) {
    this.video.pause();
    this.seek(this.frame() + frames);
  }

  frame() {
    const { num_frames: count, fps } = this.facts;
    return Math.min(count - 1, Math.max(0, Math.floor(this.video.currentTime * fps + 0.01)));
  }

  seek(frame) {
    const { num_frames: count, fps } = this.facts;
    const wanted = (frame + count) % count;
    this.video.currentTime = (wanted + 0.5) / fps;
    this.show(wanted);
  }

  show(frame) {
    const { num_frames: count, fps } = this.facts;
    const text = this.facts.isSlides
      ? `${frame + 1} of ${count}`
      : `${(frame / fps).toFixed(1)} / ${(count / fps).toFixed(1)} s`;
    this.slider.value = frame;
    this.slider.setAttribute("aria-valuetext", `frame ${frame + 1} of ${count}`);
    this.output.textContent = text;
  }

  draw() {
    if (!this.video.videoWidth || !this.facts) return; // nothing is decoded yet
    const { width, height } = this.facts;
    this.canvases.forEach((canvas, index) => {
      canvas.getContext("2d").drawImage(this.video, index * width, 0, width, height, 0, 0, width, height);
    });
  }

  follow() {
    if (!this.facts) return;
    this.draw();
    this.show(this.frame());
    if (this.video.paused) return;
    if (this.video.requestVideoFrameCallback) {
      this.video.requestVideoFrameCallback(() => this.follow());
    } else {
      requestAnimationFrame(() => this.follow());
    }
  }

  showState() {
    const isPaused = this.video.paused;
    this.play.innerHTML = icon(isPaused ? "play" : "pause");
    this.play.setAttribute("aria-label", isPaused ? "Play" : "Pause");
    this.play.title = isPaused ? "Play" : "Pause";
    this.follow();
  }

  setWipe(isWipe) {
    this.isWipe = isWipe;
    this.panes.classList.toggle("wipe", isWipe);
    this.panes.querySelector(".divider")?.remove();
    if (isWipe) this.panes.append(element("div", { className: "divider" }));
    this.wipe.setAttribute("aria-pressed", String(isWipe));
    this.wipeAt.hidden = !isWipe;
    this.setLine(this.wipeAt.value);
  }

  setLine(percent) {
    const at = Math.min(100, Math.max(0, Number(percent)));
    this.wipeAt.value = at;
    this.panes.style.setProperty("--at", `${at}%`);
  }

  key(event) {
    if (event.target.matches("button, input") && event.target !== this.root) return;
    const action = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      Home: () => this.step(-this.frame()),
      End: () => this.step(this.facts.num_frames - 1 - this.frame()),
    }[event.key];
    if (!action || !this.facts) return;
    event.preventDefault();
    action();
  }
}
