// The status page. It reads one live stream of the forwarder, and is drawn again when something changes.

import { html, nothing, render } from "./html.js";
import { ApiError, Stream, change, keepToken, read, token, url } from "./api.js";
import { Tail, eventDialog, eventsView } from "./events.js";
import { duration, plural } from "./format.js";
import { Letters, confirmDialog, gapsView, letterDialog, lettersView, refusalsView, tokenDialog } from "./letters.js";
import { ledgerView, pipeView, verdictOf, verdictView } from "./pipe.js";
import { reactionsView } from "./reactions.js";
import { rulesView } from "./rules.js";
import { Trends } from "./trend.js";

const RATE_SECONDS = 10;

const state = {
  connection: { state: "connecting", text: "" },
  rights: { may_read: true, may_change: false, token_configured: true },
  status: null,
  tail: new Tail(),
  letters: new Letters(),
  gaps: null,
  trends: new Trends(),
  rates: { stored: null, sinks: {} },
  dialog: null,
};
const seen = []; // the statuses of the last seconds, for the rates

// Drawing

let due = false;
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

const LIVE = { live: "Live", connecting: "Connecting…", lost: "Not connected" };

function draw() {
  const { status } = state;
  render(
    html`<header class="top">
        <h1>okta-forwarder</h1>
        <p class="muted">${status ? html`${status.version} · up ${duration(status.uptime_seconds)}` : nothing}</p>
        <p class="live ${state.connection.state}"><span class="dot" aria-hidden="true"></span>${LIVE[state.connection.state]}</p>
        ${state.rights.token_configured
          ? html`<button type="button" @click=${state.rights.may_change ? lock : () => openDialog({ kind: "token", why: "Unlock" })}>${state.rights.may_change ? "Lock" : "Unlock"}</button>`
          : nothing}
      </header>
      <main>
        ${verdictView(state)}
        ${status
          ? html`${pipeView(state)} ${reactionsView(state)} ${rulesView(state)} ${lettersView(state, actions)} ${eventsView(state, actions)} ${gapsView(state)} ${refusalsView(state)} ${ledgerView(state)}`
          : nothing}
      </main>
      <footer>
        <a href=${url("metrics")}>Metrics</a> <a href=${url("api/status")}>This page as JSON</a>
        <span>On a terminal: <code>forwarder doctor</code></span>
      </footer>`,
    document.getElementById("page"),
  );
  drawDialog();
  const { level } = verdictOf(state);
  const problems = state.status?.problems.length ?? 0;
  document.title = level === "ok" ? "okta-forwarder" : `${level === "lost" ? "not connected" : problems ? plural(problems, "problem", "problems") : "waiting"} · okta-forwarder`;
  drawIcon(level);
}

const ICON = { ok: ["2f9e5b", "circle cx='8' cy='8' r='7'"], waiting: ["7b8794", "circle cx='8' cy='8' r='7'"], warning: ["d9901a", "path d='M8 1 15 15H1Z'"], critical: ["d33a2c", "path d='M1 1h14v14H1Z'"], lost: ["7b8794", "path d='M1 1h14v14H1Z'"] };
let icon = "";
function drawIcon(level) {
  if (icon === level) return;
  icon = level;
  const [color, shape] = ICON[level];
  document.getElementById("icon").href = `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><${shape} fill='%23${color}'/></svg>`;
}

// Dialogs: one at a time, modal, with the focus going back to the button that opened it.

const TITLES = { event: "detail-title", letter: "letter-title", confirm: "confirm-title", token: "token-title" };

function drawDialog() {
  const { dialog } = state;
  const content = {
    event: () => eventDialog(dialog, closeDialog),
    letter: () => letterDialog(dialog, closeDialog),
    confirm: () => confirmDialog(dialog, closeDialog, carryOut),
    token: () => tokenDialog(dialog, closeDialog, saveToken),
  };
  render(
    html`<dialog class=${dialog?.kind ?? ""} aria-labelledby=${TITLES[dialog?.kind] ?? ""} @close=${dialogClosed}>${dialog ? content[dialog.kind]() : nothing}</dialog>`,
    document.getElementById("dialogs"),
  );
  const element = document.querySelector("#dialogs dialog");
  if (dialog && !element.open) element.showModal();
}

function openDialog(dialog) {
  state.dialog = dialog;
  draw();
}

function closeDialog() {
  document.querySelector("#dialogs dialog").close();
}

let next = null; // the dialog to open after the current one has closed
function dialogClosed() {
  state.dialog = next;
  next = null;
  if (state.dialog) draw();
  else redraw();
}

// What a person does

const actions = {
  filter(event) {
    event.preventDefault();
    const form = event.target.closest("form");
    const filter = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
    if (JSON.stringify(filter) === JSON.stringify(state.tail.filter)) return;
    state.tail.filter = filter;
    connect();
  },
  pause() {
    state.tail.paused = !state.tail.paused;
    state.tail.release();
    redraw();
  },
  inUse(value) {
    state.tail.inUse = value;
    state.tail.release();
    redraw();
  },
  async show(line) {
    const dialog = { kind: "event", line };
    openDialog(dialog);
    try {
      dialog.whole = await read(`api/events/${line.seq}`);
    } catch (error) {
      dialog.error = error.message;
    }
    redraw();
  },
  async showLetter(letter) {
    const dialog = { kind: "letter", letter };
    openDialog(dialog);
    try {
      dialog.whole = await read(`api/dead-letters/${letter.id}`);
    } catch (error) {
      dialog.error = error.message;
    }
    redraw();
  },
  filterLetters(name, value) {
    state.letters.filter[name] = value;
    loadLetters();
  },
  ask(verb, selection, events, scope) {
    const confirm = { kind: "confirm", verb, selection, events, scope };
    if (state.rights.may_change) openDialog(confirm);
    else if (state.rights.token_configured) openDialog({ kind: "token", why: "This needs the token", then: confirm });
    else {
      state.letters.error = "To replay or discard here, set ops.token in the configuration.";
      redraw();
    }
  },
};

async function carryOut() {
  const dialog = state.dialog;
  dialog.busy = true;
  redraw();
  try {
    const done = await change(`api/dead-letters/${dialog.verb}`, dialog.selection);
    const events = done.replayed ?? done.discarded;
    closeDialog();
    state.letters.message = dialog.verb === "replay" ? `${plural(events, "dead letter is", "dead letters are")} sent again.` : `${plural(events, "event was", "events were")} discarded.`;
    state.letters.error = "";
    await loadLetters();
    draw();
    document.getElementById("letters-message")?.focus();
  } catch (error) {
    dialog.error = error.message;
    dialog.busy = false;
    if (error instanceof ApiError && error.status === 409) loadLetters();
  }
  redraw();
}

async function saveToken(event) {
  event.preventDefault();
  const dialog = state.dialog;
  keepToken(new FormData(event.target).get("token").trim());
  await loadRights();
  if (!state.rights.may_change) {
    keepToken("");
    dialog.error = "The token is wrong.";
    redraw();
    return;
  }
  next = dialog.then ?? null;
  closeDialog();
  if (state.connection.state === "lost") connect();
}

async function lock() {
  keepToken("");
  await loadRights();
  connect();
}

// Data

const stream = new Stream(
  (kind, data) => {
    if (kind === "status") takeStatus(data);
    else if (kind === "event") state.tail.add(data);
    else if (kind === "skipped") state.tail.skipped += data.events;
    redraw();
  },
  (connection) => {
    state.connection = connection;
    if (connection.state === "live") loadAll();
    if (connection.status === 401 && state.rights.token_configured && !state.dialog) openDialog({ kind: "token", why: "This page needs the token" });
    redraw();
  },
);

function takeStatus(status) {
  const at = Date.now() / 1000;
  const before = state.status;
  state.status = status;
  seen.push({ at, status });
  while (at - seen[0].at > RATE_SECONDS && seen.length > 2) seen.shift();
  const [first] = seen;
  const seconds = at - first.at;
  const slope = (now, then) => (seconds < 0.5 ? null : Math.max(0, now - then) / seconds);
  state.rates = {
    stored: slope(status.stored, first.status.stored),
    sinks: Object.fromEntries(Object.entries(status.sinks).map(([name, sink]) => [name, slope(sink.delivered, first.status.sinks[name]?.delivered ?? sink.delivered)])),
  };
  state.trends.add(status, at);
  if (before && sum(before.sinks, "dead") + before.rejected !== sum(status.sinks, "dead") + status.rejected) loadLetters();
  if (before && missed(before) !== missed(status)) loadGaps();
}

const sum = (sinks, key) => Object.values(sinks).reduce((total, sink) => total + sink[key], 0);
const missed = (status) => Object.values(status.okta).reduce((total, org) => total + (org.log?.missed ?? 0), 0);

async function loadRights() {
  try {
    state.rights = await read("api/access");
  } catch {
    // the stream says what is wrong
  }
}

async function loadLetters() {
  try {
    const { letters } = state;
    letters.list = await read(`api/dead-letters?${letters.query()}`);
    letters.all = letters.query() ? await read("api/dead-letters?limit=0") : letters.list;
    letters.error = "";
  } catch (error) {
    state.letters.error = error.message;
  }
  redraw();
}

async function loadGaps() {
  try {
    state.gaps = await read("api/gaps");
  } catch {
    state.gaps = null;
  }
  redraw();
}

async function loadAll() {
  try {
    state.trends.load(await read("api/history"));
  } catch {
    // no trend lines then
  }
  await Promise.all([loadRights(), loadLetters(), loadGaps()]);
}

function connect() {
  state.tail.clear();
  stream.open(state.tail.query());
  redraw();
}

await loadRights();
if (state.rights.may_read || token()) connect();
else {
  state.connection = { state: "lost", status: 401, text: state.rights.token_configured ? "this page needs the token of ops.token" : "on other machines, this page needs ops.token, which is not set" };
  draw();
  if (state.rights.token_configured) openDialog({ kind: "token", why: "This page needs the token" });
}
