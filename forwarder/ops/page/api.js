// Requests to the forwarder, and the live stream. The token is kept until the tab is closed; there is no cookie.

const KEY = "okta-forwarder-token";
const base = document.querySelector("meta[name=base]").content;

export const url = (path) => base + path;
export const token = () => sessionStorage.getItem(KEY) ?? "";
export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

export class ApiError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

async function checked(response) {
  if (response.ok) return response;
  let text = `the forwarder answered ${response.status}`;
  try {
    text = (await response.json()).error ?? text;
  } catch {
    // the response is not the forwarder's, but perhaps a proxy's
  }
  throw new ApiError(response.status, text);
}

export async function read(path) {
  return (await checked(await fetch(url(path), { headers: authorization(), cache: "no-store" }))).json();
}

export async function change(path, body) {
  const headers = { ...authorization(), "Content-Type": "application/json" };
  return (await checked(await fetch(url(path), { method: "POST", headers, body: JSON.stringify(body) }))).json();
}

// One stream for the whole page: server-sent events, read by fetch, because EventSource cannot send the token.
export class Stream {
  #abort = null;
  #lastId = "";

  constructor(onMessage, onState) {
    this.onMessage = onMessage;
    this.onState = onState;
  }

  open(query) {
    this.#abort?.abort();
    this.#abort = new AbortController();
    this.#lastId = "";
    this.#run(query, this.#abort.signal);
  }

  async #run(query, signal) {
    let wait = 500;
    while (!signal.aborted) {
      try {
        this.onState({ state: "connecting" });
        const headers = { Accept: "text/event-stream", ...authorization() };
        if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
        const response = await checked(await fetch(url(`api/events?${query}`), { headers, signal, cache: "no-store" }));
        this.onState({ state: "live" });
        wait = 500;
        await this.#read(response.body, signal);
        throw new Error("the forwarder closed the connection; it may have stopped");
      } catch (error) {
        if (signal.aborted) return;
        this.onState({ state: "lost", status: error.status, text: error.status ? error.message : "the forwarder cannot be reached" });
        if (error.status === 401) return;
      }
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, 10000);
    }
  }

  async #read(body, signal) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done || signal.aborted) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) this.#dispatch(block);
    }
  }

  #dispatch(block) {
    let kind = "";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("id: ")) this.#lastId = line.slice(4);
      else if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (data) this.onMessage(kind, JSON.parse(data));
  }
}
