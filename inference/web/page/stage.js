// The right side of the page: a job's progress, its preview or result, and earlier results.

import { cancelJob, getJob, getRoom, removeJob } from "/assets/requests.js";
import { Player } from "/assets/player.js";
import { CATEGORIES, spokenTime } from "/assets/words.js";

const POLL_MS = 800;
const RETRY_MS = 4000; // while the server does not answer
const ENDED = ["done", "failed", "cancelled"];
const find = (id) => document.getElementById(id);

export class Stage {
  // onPerson(id): another person of the preview was picked. onChange(): another job is shown.
  constructor({ onPerson, onChange }) {
    this.onPerson = onPerson;
    this.onChange = onChange;
    this.job = null;
    this.preview = null; // the finished preview job that the page shows
    this.players = {
      look: new Player(find("preview-player")),
      dress: new Player(find("result-player"), { canWipe: true }),
    };
    find("cancel").onclick = () => this.cancel();
    find("delete").onclick = () => this.remove();
  }

  // Shows a job and follows it until it has ended.
  async watch(job) {
    this.job = job;
    this.moment = null;
    this.fail(null);
    find("result").hidden = true;
    this.players.dress.close();
    if (job.kind === "look") this.dropPreview();
    this.show();
    let wait = POLL_MS;
    while (this.job?.id === job.id && !ENDED.includes(this.job.state)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (this.job?.id !== job.id) return;
      try {
        const latest = await getJob(job.id);
        if (this.job?.id !== job.id) return;
        this.job = latest;
        wait = POLL_MS;
        this.show();
      } catch (error) {
        if (error.status) {
          this.job = null;
          this.show();
          this.fail(error.message);
          return;
        }
        wait = RETRY_MS;
        find("progress-note").textContent = `${error.message} Trying again …`;
      }
    }
    this.listEarlier();
  }

  show() {
    const { job } = this;
    find("progress").hidden = !job || ENDED.includes(job.state);
    if (job && !ENDED.includes(job.state)) this.showProgress(job);
    const moment = job ? `${job.id} ${job.state}` : null;
    if (moment !== this.moment) {
      this.moment = moment; // the rest happens once per job and state
      if (job?.state === "failed") this.fail(job.error);
      if (job?.state === "cancelled") this.announce("Cancelled.");
      if (job?.state === "done") {
        if (job.kind === "look") this.showPreview(job);
        else this.showResult(job);
      }
    }
    const isEmpty = ["progress", "preview", "result", "stage-error"].every((id) => find(id).hidden);
    find("empty").hidden = !isEmpty;
    this.onChange();
  }

  showProgress(job) {
    const title = this.progressTitle(job);
    if (find("progress-title").textContent !== title) this.announce(title);
    find("progress-title").textContent = title;
    find("progress-note").textContent = this.progressNote(job);
    const isKnown = job.state === "running" && job.fraction !== null;
    if (isKnown) find("bar").value = job.fraction;
    else find("bar").removeAttribute("value");
    find("percent").textContent = isKnown ? `${Math.floor(100 * job.fraction)} %` : "";
    find("cancel").disabled = job.is_ending;
  }

  progressTitle(job) {
    if (job.is_ending) return "Cancelling";
    if (job.state === "running") return job.stage ?? "Starting";
    if (!job.num_ahead) return "Yours is next";
    return job.num_ahead === 1 ? "One job is ahead of yours" : `${job.num_ahead} jobs are ahead of yours`;
  }

  progressNote(job) {
    if (job.is_ending) return "It stops after the current step.";
    if (job.state === "waiting") {
      const start = job.starts_in_s;
      return start ? `It starts in about ${spokenTime(start)}.` : "You can leave this page open or come back later.";
    }
    if (job.seconds_left === null) return "Estimating the time left.";
    return `About ${spokenTime(job.seconds_left)} left`;
  }

  showPreview(job) {
    this.preview = job;
    const { facts } = job;
    find("preview").hidden = false;
    find("preview-note").textContent =
      (facts.every_frame ? "" : "Some frames of your video. ") +
      `The tinted area (${CATEGORIES[job.category]}) is repainted; the rest is kept.` +
      (facts.unseen ? ` ${facts.warns ? "Warning: " : ""}${facts.every_frame ? "" : "by a first look, "}${facts.unseen}.` : "") +
      (facts.remarks?.length ? ` About your video: ${facts.remarks.join("; ")}.` : "");
    const strip = find("unseen").querySelector("img");
    find("unseen").hidden = !job.files["unseen.jpg"];
    find("preview-note").classList.toggle("warning", Boolean(facts.warns));
    if (job.files["unseen.jpg"]) Object.assign(strip, { src: job.files["unseen.jpg"], alt: facts.unseen });
    find("every").hidden = facts.every_frame;
    this.showPeople(job);
    this.players.look.open(job.files["preview.mp4"], { ...facts.player, isSlides: !facts.every_frame });
    this.bring("preview");
    this.announce("The preview is ready.");
  }

  showPeople(job) {
    const { people, person: chosen } = job.facts;
    find("people").hidden = people.length < 2;
    find("people").querySelector(".tiles").replaceChildren(
      ...people.map((person) => {
        const tile = Object.assign(document.createElement("button"), { type: "button", className: "tile" });
        const picture = document.createElement("img");
        Object.assign(picture, { src: job.files[`person-${person}.jpg`], alt: "" });
        const label = Object.assign(document.createElement("span"), { textContent: `Person ${person}` });
        tile.append(picture, label);
        tile.setAttribute("aria-pressed", String(person === chosen));
        tile.onclick = () => person !== chosen && this.onPerson(person);
        return tile;
      }),
    );
  }

  showResult(job) {
    find("result").hidden = false;
    find("result-note").textContent =
      `${job.garment_name} on ${job.video_name}, ${CATEGORIES[job.category]}, seed ${job.seed}. ` +
      `Deleted in ${spokenTime(job.removed_in_s)}, or with the button below.`;
    find("download").href = job.files["result.mp4"];
    find("download").download = job.facts.download;
    this.players.dress.open(job.files["comparison.mp4"], job.facts.player);
    this.bring("result");
    this.announce("The result is ready.");
  }

  // Closes a preview that no longer matches the inputs on the left.
  dropPreview() {
    this.preview = null;
    find("preview").hidden = true;
    this.players.look.close();
    if (this.job?.kind === "look" && ENDED.includes(this.job.state)) this.job = null;
    this.show();
  }

  async cancel() {
    try {
      const { id } = this.job;
      const latest = await cancelJob(id);
      if (this.job?.id === id) {
        this.job = latest;
        this.show();
      }
    } catch (error) {
      this.fail(error.message);
    }
  }

  async remove() {
    try {
      await removeJob(this.job.id);
      this.clearResult();
      this.announce("Deleted.");
      this.listEarlier();
    } catch (error) {
      this.fail(error.message);
    }
  }

  clearResult() {
    this.job = null;
    find("result").hidden = true;
    this.players.dress.close();
    this.show();
  }

  async listEarlier() {
    const { jobs } = await getRoom();
    const shown = jobs.filter((job) => job.kind === "dress" && ["done", "waiting", "running"].includes(job.state));
    find("earlier").hidden = shown.length < 2;
    find("earlier").querySelector("ul").replaceChildren(
      ...shown.reverse().map((job) => {
        const isShown = job.id === this.job?.id;
        const text = document.createElement("span");
        text.textContent = `${job.garment_name} on ${job.video_name}, ${CATEGORIES[job.category]}, seed ${job.seed}`;
        const button = Object.assign(document.createElement("button"), {
          type: "button", className: "quiet", disabled: isShown,
          textContent: isShown ? "Shown" : job.state === "done" ? "Show" : "Follow",
        });
        button.setAttribute("aria-label", `${button.textContent}: ${text.textContent}`);
        button.onclick = () => this.watch(job);
        const item = document.createElement("li");
        item.append(text, button);
        return item;
      }),
    );
  }

  bring(id) {
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    find(id).scrollIntoView({ block: "start", behavior: isCalm ? "auto" : "smooth" });
  }

  fail(sentence) {
    find("stage-error").hidden = !sentence;
    find("stage-error").textContent = sentence ?? "";
    if (sentence) this.bring("stage-error");
  }

  announce(sentence) {
    find("announced").textContent = sentence;
  }
}
