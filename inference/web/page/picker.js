// One input step: a file of your own (chosen or dropped, then sent) or one already on the server.

import { sendFile } from "/assets/requests.js";
import { spokenFacts, spokenSize } from "/assets/words.js";

const NOUNS = { video: "video", garment: "picture" };

export class Picker {
  constructor(fieldset, { onChange, announce }) {
    this.kind = fieldset.dataset.kind;
    this.fieldset = fieldset;
    this.onChange = onChange;
    this.announce = announce;
    this.choice = null;
    this.mostBytes = Infinity;
    this.offers = [];
    const find = (selector) => fieldset.querySelector(selector);
    this.drop = find(".drop");
    this.input = find("input[type=file]");
    this.sending = find(".sending");
    this.bar = find("progress");
    this.share = find(".sending-share");
    this.chosen = find(".chosen");
    this.error = find(".error");
    this.samples = find(".samples");
    this.tiles = find(".tiles");
    this.input.onchange = () => {
      const [file] = this.input.files;
      this.input.value = ""; // the same file may be chosen again
      if (file) this.send(file);
    };
    this.drop.ondragover = (event) => {
      event.preventDefault();
      this.drop.classList.toggle("over", !fieldset.disabled);
    };
    this.drop.ondragleave = () => this.drop.classList.remove("over");
    this.drop.ondrop = (event) => {
      event.preventDefault();
      this.drop.classList.remove("over");
      const [file] = event.dataTransfer.files;
      if (file && !fieldset.disabled) this.send(file);
    };
    find(".stop-sending").onclick = () => this.transfer?.stop();
  }

  // Uploads and samples that may be picked, as the server lists them.
  offer(uploads) {
    this.offers = uploads.filter((upload) => upload.kind === this.kind);
    if (this.choice && !this.offers.some((upload) => upload.id === this.choice.id)) {
      this.choice = null;
    }
    this.show();
  }

  choose(upload) {
    this.choice = upload;
    this.fail(null);
    this.show();
    this.onChange();
  }

  async send(file) {
    this.fail(this.objection(file));
    if (!this.error.hidden) return;
    this.fieldset.querySelector(".sending-name").textContent = file.name;
    this.setShare(0);
    this.transfer = sendFile(this.kind, file, (share) => this.setShare(share));
    this.show();
    try {
      const upload = await this.transfer.done;
      this.transfer = null;
      if (upload) {
        this.offers.push(upload);
        this.announce(`${upload.name} is ready.`);
        this.choose(upload);
      }
    } catch (error) {
      this.fail(error.message);
    } finally {
      this.transfer = null;
      this.show();
    }
  }

  // What is wrong with a file, found before anything is sent; null: nothing.
  objection(file) {
    const noun = NOUNS[this.kind];
    if (!file.size) return "This file is empty.";
    if (file.size <= this.mostBytes) return null;
    return (
      `This file is too large: a ${noun} may have up to ${spokenSize(this.mostBytes)}, ` +
      `this one has ${spokenSize(file.size)}.`
    );
  }

  setShare(share) {
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    this.share.textContent = share === 1 ? "checking" : `${Math.round(100 * (share ?? 0))} %`;
    if (share === 1) this.bar.removeAttribute("value");
  }

  fail(sentence) {
    this.error.hidden = !sentence;
    this.error.textContent = sentence ?? "";
  }

  show() {
    const isSending = Boolean(this.transfer);
    this.sending.hidden = !isSending;
    this.drop.hidden = isSending || Boolean(this.choice);
    this.samples.hidden = isSending || Boolean(this.choice) || !this.offers.length;
    this.chosen.hidden = isSending || !this.choice;
    if (!this.chosen.hidden) this.showChoice();
    if (!this.samples.hidden) this.showTiles();
  }

  showChoice() {
    const upload = this.choice;
    const picture = Object.assign(document.createElement("img"), { src: upload.poster, alt: "" });
    const text = document.createElement("div");
    const name = Object.assign(document.createElement("b"), { textContent: upload.name });
    const facts = Object.assign(document.createElement("span"), {
      className: "note",
      textContent: spokenFacts(upload),
    });
    const change = Object.assign(document.createElement("button"), {
      type: "button",
      className: "quiet",
      textContent: "Change",
    });
    change.setAttribute("aria-label", `Change the ${NOUNS[this.kind]}`);
    change.onclick = () => {
      this.choose(null);
      this.input.focus();
    };
    text.append(name, facts);
    this.chosen.replaceChildren(picture, text, change);
  }

  showTiles() {
    const hasOwn = this.offers.some((upload) => !upload.is_sample);
    this.samples.querySelector(".samples-title").textContent = hasOwn
      ? "or pick one that is already here"
      : "or pick one of these samples";
    this.tiles.replaceChildren(
      ...this.offers.map((upload) => {
        const tile = Object.assign(document.createElement("button"), {
          type: "button",
          className: "tile",
          title: upload.name,
        });
        const picture = Object.assign(document.createElement("img"), {
          src: upload.poster,
          alt: upload.name,
          loading: "lazy",
        });
        tile.append(picture);
        tile.onclick = () => this.choose(upload);
        return tile;
      }),
    );
  }
}
