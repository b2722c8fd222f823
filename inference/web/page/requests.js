// Talks to the server. A rejected request becomes an Error whose message is a sentence.

const LOST = "The server does not answer. Is it still running?";

export class RequestError extends Error {
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
    throw new RequestError(LOST, 0);
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new RequestError(answer?.error ?? LOST, response.status);
  return answer;
}

export const getRoom = () => ask("GET", "/api/room");
export const leaveRoom = () => ask("DELETE", "/api/room");
export const getJob = (id) => ask("GET", `/api/jobs/${id}`);
export const submitJob = (order) => ask("POST", "/api/jobs", order);
export const cancelJob = (id) => ask("POST", `/api/jobs/${id}/cancel`);
export const removeJob = (id) => ask("DELETE", `/api/jobs/${id}`);

// Sends one file as the request's body, so that the server can count its bytes as they arrive.
// Returns { stop, done }: `done` resolves to the upload, or to null when it was stopped.
export function sendFile(kind, file, onShare) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) =>
      onShare(event.lengthComputable ? event.loaded / event.total : null);
    request.onabort = () => resolve(null);
    request.onerror = () =>
      reject(new RequestError("The file could not be sent: the connection was lost.", 0));
    request.onload = () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // not the server's answer: a proxy's page, for instance
      }
      if (request.status === 201 && answer) resolve(answer);
      else reject(new RequestError(answer?.error ?? LOST, request.status));
    };
    const query = new URLSearchParams({ kind, name: file.name });
    request.open("POST", `/api/uploads?${query}`);
    request.setRequestHeader("X-Rights-Confirmed", "yes");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
  return { stop: () => request.abort(), done };
}
