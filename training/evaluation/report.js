// One player for all cases: one video holds source, result and truth side by side and is drawn
// pane by pane, so they cannot drift apart. The plot's cursor and the slider follow its clock.
for (const player of document.querySelectorAll(".player")) {
  const data = JSON.parse(document.getElementById("cases").textContent);
  const find = (selector) => player.querySelector(selector);
  const video = find("video");
  const [panes, slider, output, play] = [".panes", "input", "output", ".play"].map(find);
  const [speed, metric, svg] = [".speed", ".metric", "svg"].map(find);
  let current = null;
  let canvases = [];
  let plotted = null;

  const frameNow = () =>
    Math.min(current.num_frames - 1, Math.max(0, Math.floor(video.currentTime * current.fps + 0.01)));
  const seek = (frame) => {
    const wanted = (frame + current.num_frames) % current.num_frames;
    video.currentTime = (wanted + 0.5) / current.fps;
    show(wanted);
  };
  const draw = () => {
    const width = video.videoWidth / canvases.length;
    if (!width) return; // nothing is decoded yet
    canvases.forEach((canvas, index) => {
      const context = canvas.getContext("2d");
      context.drawImage(
        video, index * width, 0, width, video.videoHeight, 0, 0, width, video.videoHeight,
      );
    });
  };
  const show = (frame) => {
    slider.value = frame;
    output.textContent =
      `frame ${frame + 1} of ${current.num_frames}, ${(frame / current.fps).toFixed(2)} s`;
    if (plotted) plotted.moveTo(frame);
  };
  const follow = () => {
    draw();
    show(frameNow());
    if (!video.paused) requestAnimationFrame(follow);
  };
  video.onloadeddata = video.onseeked = () => draw();
  video.onplay = () => {
    play.textContent = "Pause";
    follow();
  };
  video.onpause = () => {
    play.textContent = "Play";
    follow();
  };

  const element = (name, properties, text) => {
    const made = document.createElement(name);
    Object.assign(made, properties);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const pane = (inner, caption) => {
    const figure = element("figure");
    figure.append(inner, element("figcaption", {}, caption));
    return figure;
  };
  const open = (one) => {
    const wasPlaying = current !== null && !video.paused;
    current = one;
    canvases = one.panes.map(() => element("canvas", { width: one.width, height: one.height }));
    const figures = canvases.map((canvas, index) => pane(canvas, one.panes[index]));
    const garment = pane(element("img", { src: one.garment, alt: "garment" }), "garment");
    figures.splice(1, 0, garment);
    panes.replaceChildren(...figures);
    panes.style.setProperty("--panes", figures.length);
    panes.dataset.panes = figures.length;
    slider.max = one.num_frames - 1;
    video.src = one.video;
    video.playbackRate = speed.value;
    seek(0);
    if (wasPlaying) video.play();
    for (const chip of player.querySelectorAll(".chips button")) {
      chip.setAttribute("aria-pressed", chip.dataset.case === one.name);
    }
    const chosen = metric.value || one.ranked_by;
    const known = data.metrics.filter((entry) => one.series[entry.key]);
    metric.replaceChildren(
      ...known.map((entry) => element("option", { value: entry.key }, entry.label)),
    );
    if (known.some((entry) => entry.key === chosen)) metric.value = chosen;
    find(".plot").hidden = known.length === 0;
    plot();
  };

  const svgElement = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const plot = () => {
    plotted = null;
    svg.replaceChildren();
    const entry = data.metrics.find((known) => known.key === metric.value);
    if (!entry) return;
    const { ours, other } = current.series[entry.key];
    const [width, height] = [svg.clientWidth || 600, 170];
    const [left, right, top, bottom] = [48, 12, 16, 24];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-label", `${entry.label} of every frame`);
    const values = [...ours, ...(other ?? [])].filter((value) => value !== null);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (high - low < 1e-9) [low, high] = [low - 0.5e-3, high + 0.5e-3];
    const last = Math.max(current.num_frames - 1, 1);
    const x = (frame) => left + ((width - left - right) * frame) / last;
    const y = (value) => top + ((height - top - bottom) * (high - value)) / (high - low);
    const digits = Math.min(5, Math.max(0, 2 - Math.floor(Math.log10(high - low))));
    for (const share of [0, 0.5, 1]) {
      const value = low + share * (high - low);
      const line = { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "grid-line" };
      const text = { x: left - 6, y: y(value) + 4, "text-anchor": "end" };
      svg.append(svgElement("line", line), svgElement("text", text, value.toFixed(digits)));
    }
    const ticks = Math.max(1, Math.min(8, Math.floor((width - left) / 80), last));
    for (const frame of new Set([...Array(ticks + 1).keys()].map((i) => Math.round((last * i) / ticks)))) {
      const at = { x: x(frame), y: height - 6, "text-anchor": "middle" };
      svg.append(svgElement("text", at, frame + 1));
    }
    const path = (series) => {
      let isOpen = false;
      return series
        .map((value, frame) => {
          if (value === null) {
            isOpen = false;
            return "";
          }
          const command = `${isOpen ? "L" : "M"}${x(frame).toFixed(1)} ${y(value).toFixed(1)}`;
          isOpen = true;
          return command;
        })
        .join("");
    };
    if (other) svg.append(svgElement("path", { class: "other", d: path(other) }));
    svg.append(svgElement("path", { class: "ours", d: path(ours) }));
    const cursor = svgElement("line", { class: "cursor", y1: top, y2: height - bottom });
    const dot = svgElement("circle", { r: 4 });
    const label = svgElement("text", { y: top - 4, class: "value" });
    svg.append(cursor, dot, label);
    find(".key.ours").textContent = data.method;
    find(".key.other").textContent = data.other;
    find(".key.other").hidden = !other;
    const whole = current.values[entry.key];
    find(".whole").textContent =
      whole === undefined || whole === null ? "" : `whole video ${Number(whole.toPrecision(4))}`;
    plotted = {
      moveTo: (frame) => {
        const value = ours[frame] ?? null;
        const at = x(frame);
        cursor.setAttribute("x1", at);
        cursor.setAttribute("x2", at);
        dot.setAttribute("cx", at);
        dot.setAttribute("cy", value === null ? 0 : y(value));
        dot.style.display = value === null ? "none" : "";
        label.textContent = value === null ? "no value" : value.toFixed(Math.max(digits, 3));
        const isLate = at > width - 90;
        label.setAttribute("x", isLate ? at - 7 : at + 7);
        label.setAttribute("text-anchor", isLate ? "end" : "start");
      },
      frameAt: (clientX) => {
        const box = svg.getBoundingClientRect();
        const place = ((clientX - box.left) * width) / box.width;
        return Math.min(last, Math.max(0, Math.round(((place - left) * last) / (width - left - right))));
      },
    };
    plotted.moveTo(frameNow());
  };

  const step = (by) => {
    video.pause();
    seek(frameNow() + by);
  };
  const toggle = () => (video.paused ? video.play() : video.pause());
  const faster = (by) => {
    const wanted = speed.selectedIndex + by;
    speed.selectedIndex = Math.min(speed.options.length - 1, Math.max(0, wanted));
    video.playbackRate = speed.value;
  };
  const neighbour = (by) => {
    const at = data.cases.indexOf(current) + by + data.cases.length;
    open(data.cases[at % data.cases.length]);
  };
  const keys = {
    " ": toggle, k: toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    Home: () => seek(0), End: () => seek(current.num_frames - 1),
    "[": () => faster(-1), "]": () => faster(1), n: () => neighbour(1), p: () => neighbour(-1),
  };
  player.addEventListener("keydown", (event) => {
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const inField = ["SELECT", "BUTTON"].includes(event.target.tagName);
    const isOwn = inField && [" ", "Enter", "Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key);
    if (!action || isOwn || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  play.onclick = toggle;
  speed.onchange = () => (video.playbackRate = speed.value);
  metric.onchange = plot;
  slider.oninput = () => {
    video.pause();
    seek(Number(slider.value));
  };
  for (const button of player.querySelectorAll("[data-step]")) {
    button.onclick = () => step(Number(button.dataset.step));
  }
  svg.onpointerdown = svg.onpointermove = (event) => {
    if (!plotted || (event.type === "pointermove" && !event.buttons)) return;
    video.pause();
    seek(plotted.frameAt(event.clientX));
  };
  new ResizeObserver(() => current && plot()).observe(svg);

  const groups = new Map();
  for (const one of data.cases) groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
  for (const [group, members] of groups) {
    const row = element("div", { className: "chips" });
    row.append(element("span", {}, group));
    for (const one of members) {
      const chip = element("button", { type: "button" }, `${one.id} `);
      chip.dataset.case = one.name;
      chip.append(element("small", {}, one.score));
      chip.onclick = () => open(one);
      row.append(chip);
    }
    find(".cases").append(row);
  }
  for (const link of document.querySelectorAll("[data-open]")) {
    link.onclick = () => {
      open(data.cases.find((one) => one.name === link.dataset.open));
      player.scrollIntoView({ behavior: "smooth", block: "center" });
      player.focus({ preventScroll: true });
    };
  }
  open(data.cases[0]);
}
for (const block of document.querySelectorAll(".paste")) {
  const button = block.querySelector("button");
  button.onclick = async () => {
    const text = block.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(block.querySelector("pre")); // a page without that right
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
}
