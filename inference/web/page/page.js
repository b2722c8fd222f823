// Inputs on the left, preview and result on the right. Nothing is sent before the box is ticked.

import { Picker } from "/assets/picker.js";
import { getRoom, leaveRoom, submitJob } from "/assets/requests.js";
import { Stage } from "/assets/stage.js";
import { spokenTime } from "/assets/words.js";

const find = (id) => document.getElementById(id);
const rights = find("rights");
const steps = [...document.querySelectorAll(".step")];
let person = null;
let isSubmitting = false;

const stage = new Stage({
  onPerson: (id) => {
    person = id;
    requestPreview();
  },
  onChange: () => refresh(),
});
const announce = (sentence) => stage.announce(sentence);
const video = new Picker(find("video"), { announce, onChange: () => reset() });
const garment = new Picker(find("garment"), { announce, onChange: () => refresh() });

const category = () => document.querySelector("[name=category]:checked").value;

// After a change of video or category the preview no longer shows what would be painted.
function reset() {
  person = null;
  stage.dropPreview();
}

function refresh() {
  const isBusy = isSubmitting || (stage.job && ["waiting", "running"].includes(stage.job.state));
  for (const step of steps) step.disabled = !rights.checked;
  find("show").disabled = !rights.checked || !video.choice || isBusy;
  find("show").hidden = Boolean(stage.preview);
  find("show-hint").hidden = find("show").hidden;
  find("show-hint").textContent = !rights.checked
    ? "Tick the box at the top to begin."
    : video.choice
      ? "A preview first: painting takes much longer."
      : "Choose a video to see what will be painted.";
  find("dress").disabled = !rights.checked || !garment.choice || !stage.preview || isBusy;
  find("every").disabled = !rights.checked || isBusy;
  find("dress").textContent = garment.choice ? "Put the garment on" : "Choose a garment first";
  sessionStorage.setItem("order", JSON.stringify({
    rights: rights.checked, video: video.choice?.id, garment: garment.choice?.id, category: category(),
  }));
}

async function submit(order) {
  isSubmitting = true;
  refresh();
  try {
    const job = await submitJob({ rights: rights.checked, ...order });
    isSubmitting = false;
    stage.watch(job);
    stage.bring("progress");
  } catch (error) {
    isSubmitting = false;
    stage.fail(error.message);
    refresh();
  }
}

const requestPreview = (more = {}) =>
  submit({ video: video.choice.id, category: category(), person, ...more });
const requestResult = () =>
  submit({
    preview: stage.preview.id,
    garment: garment.choice.id,
    seed: Number(find("seed").value) || 0,
    label: find("label").checked,
  });

function restore(room) {
  const kept = JSON.parse(sessionStorage.getItem("order") ?? "{}");
  const uploads = [...room.uploads, ...room.samples];
  rights.checked = Boolean(kept.rights);
  const radio = document.querySelector(`[name=category][value="${kept.category}"]`);
  if (radio) radio.checked = true;
  for (const picker of [video, garment]) {
    picker.mostBytes = room.limits[`${picker.kind}_bytes`];
    picker.offer(uploads);
    picker.choice = picker.offers.find((upload) => upload.id === kept[picker.kind]) ?? null;
    picker.show();
  }
  const last = room.jobs.filter((job) => job.state !== "cancelled").at(-1);
  if (last && last.state !== "failed") stage.watch(last);
  stage.listEarlier();
}

function describe({ limits, about }) {
  find("kept").textContent =
    `Your files are deleted ${spokenTime(60 * limits.keep_minutes)} after their last use.`;
  find("video-hint").textContent =
    `One person, seen from the front or back, shoulders and hips in view; up to ` +
    `${spokenTime(limits.video_s)}.`;
  find("about").textContent =
    `Made by ${about.checkpoint}, step ${about.step}; ${about.sampler}, on ${about.device}.`;
}

async function begin() {
  try {
    const room = await getRoom();
    describe(room);
    restore(room);
  } catch (error) {
    stage.fail(error.message);
  }
  refresh();
}

rights.onchange = refresh;
for (const radio of document.querySelectorAll("[name=category]")) radio.onchange = reset;
find("order").onsubmit = (event) => {
  event.preventDefault();
  requestPreview();
};
find("dress").onclick = requestResult;
find("every").onclick = () =>
  requestPreview({ every_frame: true, person: stage.preview.facts.person });
find("leave").onclick = async () => {
  try {
    await leaveRoom();
    sessionStorage.removeItem("order");
    location.reload();
  } catch (error) {
    stage.fail(error.message);
  }
};
begin();
