// Numbers in words, for people.

export function spokenTime(seconds) {
  if (seconds < 8) return "a few seconds";
  if (seconds < 55) return `${Math.ceil(seconds / 5) * 5} seconds`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 2) return "a minute";
  if (minutes < 59) return `${minutes} minutes`;
  const hours = (seconds / 3600).toFixed(1).replace(/\.0$/, "");
  return hours === "1" ? "an hour" : `${hours} hours`;
}

export function spokenSize(bytes) {
  for (const [name, unit] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= unit) return `${Number((bytes / unit).toFixed(bytes < 10 * unit ? 1 : 0))} ${name}`;
  }
  return `${bytes} bytes`;
}

export function spokenFacts(upload) {
  const size = `${upload.width} × ${upload.height}`;
  if (upload.kind !== "video") return size;
  return `${upload.duration_s.toFixed(1)} s, ${size}, ${Math.round(upload.fps)} fps`;
}

export const CATEGORIES = { upper: "top", lower: "trousers or skirt", overall: "whole outfit" };
