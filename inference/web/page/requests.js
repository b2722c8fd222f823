// Talks to the server. What it refuses comes back as an Error whose message is a sentence.

const LOST = "The server does not answer. Is it still running?";

export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const options = { method, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused(LOST, 0);
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(answer?.error ?? LOST, response.status);
  return answer;
}

export const getRoom = () => ask("GET", "/api/room");
export const leaveRoom = () => ask("DELETE", "/api/room");
export const getJob = (id) => ask("GET", `/api/jobs/${id}`);
export const submitJob = (order) => ask("POST", "/api/jobs", order);
export const cancelJob = (id) => ask("POST", `/api/jobs/${id}/cancel`);
export const removeJob = (id) => ask("DELETE", `/api/jobs/${id}`);
export const removeUpload = (id) => ask("DELETE", `/api/uploads/${id}`);

// Sends one file as it is, so that the server can count it while it comes.
// Returns { stop, done }: `done` resolves to the upload, or to null when it was stopped.
export function sendFile(kind, file, onShare) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) =>
      onShare(event.lengthComputable ? event.loaded / event.total : null);
    request.onabort = () => resolve(null);
    request.onerror = () =>
      reject(new Refused("The file could not be sent: the connection broke off.", 0));
    request.onload = () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // not ours: a proxy's page, for instance
      }
      if (request.status === 201 && answer) resolve(answer);
      else reject(new Refused(answer?.error ?? LOST, request.status));
    };
    const query = new URLSearchParams({ kind, name: file.name });
    request.open("POST", `/api/uploads?${query}`);
    request.setRequestHeader("X-Rights-Confirmed", "yes");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
  return { stop: () => request.abort(), done };
}
