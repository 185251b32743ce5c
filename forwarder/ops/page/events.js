// The list of new events, with filter and pause, and the dialog that shows one event in all its forms.

import { html, nothing } from "./html.js";
import { clock, moment, number, plural } from "./format.js";

const MOST = 200; // lines that are kept
const FIELDS = [
  ["type", "Type", "user.session.*"],
  ["actor", "Actor", "part of login or name"],
  ["outcome", "Outcome", "FAILURE"],
  ["org", "Org", "name"],
];

export class Tail {
  lines = [];
  held = []; // the events that arrived while the list must not move
  skipped = 0;
  paused = false;
  inUse = false; // whether the pointer or the focus is in the list: a line must not move away from there
  filter = {};

  get still() {
    return this.paused || this.inUse;
  }

  add(event) {
    if (this.still) {
      this.held.push(event);
      if (this.held.length > MOST) this.held.shift();
    } else {
      this.lines = [event, ...this.lines].slice(0, MOST);
    }
  }

  release() {
    if (this.still || !this.held.length) return;
    this.lines = [...this.held.reverse(), ...this.lines].slice(0, MOST);
    this.held = [];
  }

  clear() {
    this.lines = [];
    this.held = [];
    this.skipped = 0;
  }

  query() {
    const query = new URLSearchParams({ since: this.filtered ? "-1000" : "-50" });
    for (const [name, value] of Object.entries(this.filter)) if (value) query.set(name, value);
    return query.toString();
  }

  get filtered() {
    return Object.values(this.filter).some(Boolean);
  }
}

const outcome = (result) => {
  if (!result) return html`<span class="muted">–</span>`;
  const level = { SUCCESS: "ok", ALLOW: "ok", FAILURE: "critical", DENY: "critical" }[result] ?? "waiting";
  return html`<span class="outcome ${level}">${result}</span>`;
};

const source = (way) => (way === "log" ? html`<span class="from-log">System Log</span>` : way);

const row = (line, show) => html`<tr>
  <td data-label="Time (UTC)"><time datetime=${line.published} title=${line.published}>${clock(line.published)}</time></td>
  <td data-label="Type" class="text"><button type="button" class="link" @click=${() => show(line)}>${line.event_type}</button></td>
  <td data-label="Outcome">${outcome(line.outcome)}</td>
  <td data-label="Actor" class="text actor">${line.actor ?? line.actor_name ?? "–"}</td>
  <td data-label="Target" class="text">${line.target ?? "–"}</td>
  <td data-label="Address" class="text address">${line.client_ip ?? "–"}</td>
  <td data-label="Org">${line.org}</td>
  <td data-label="By">${source(line.source)}</td>
</tr>`;

export function eventsView({ tail }, actions) {
  const held = tail.held.length;
  const now = tail.paused ? "Paused" : tail.inUse ? "Held while you are in the list" : "Live";
  return html`<section aria-labelledby="events-title">
    <h2 id="events-title">Events</h2>
    <form class="bar" role="search" aria-label="Filter events" @submit=${(event) => actions.filter(event)}>
      ${FIELDS.map(
        ([name, label, example]) => html`<label>${label}
          <input name=${name} placeholder=${example} autocomplete="off" spellcheck="false" @change=${(event) => actions.filter(event)}></label>`,
      )}
      <label>By
        <select name="source" @change=${(event) => actions.filter(event)}>
          <option value="">hook and System Log</option><option value="hook">hook</option><option value="log">System Log</option><option value="alert">alerts</option><option value="action">reactions</option>
        </select></label>
      <button type="submit">Filter</button>
      <button type="button" aria-pressed=${tail.paused} @click=${actions.pause}>${tail.paused ? "Resume" : "Pause"}</button>
    </form>
    <p class="muted tail-state">${now}${held ? `, ${plural(held, "event waits", "events wait")}` : ""}.
      ${tail.skipped ? `${number(tail.skipped)} skipped, because they arrived faster than this page can read them.` : ""}</p>
    <div class="scroll tall" tabindex="0" role="region" aria-label="List of events"
      @focusin=${() => actions.inUse(true)} @focusout=${() => actions.inUse(false)}
      @pointerenter=${() => actions.inUse(true)} @pointerleave=${() => actions.inUse(false)}>
      ${tail.lines.length
        ? html`<table class="cards events">
            <caption class="visually-hidden">Events, newest first</caption>
            <thead><tr><th scope="col">Time (UTC)</th><th scope="col">Type</th><th scope="col">Outcome</th><th scope="col">Actor</th>
              <th scope="col">Target</th><th scope="col">Address</th><th scope="col">Org</th><th scope="col">By</th></tr></thead>
            <tbody>${tail.lines.map((line) => row(line, actions.show))}</tbody>
          </table>`
        : html`<p class="empty">${tail.filtered ? "No event matches among the last 1,000." : "No event yet."}</p>`}
    </div>
  </section>`;
}

const LABELS = { raw: "As received from Okta", ecs: "ECS, as in Elasticsearch", otlp: "OTLP log record" };

export function eventDialog(detail, close) {
  if (!detail) return nothing;
  const { line, whole, error } = detail;
  return html`<header>
      <h2 id="detail-title">${line.event_type}</h2>
      <button type="button" @click=${close}>Close</button>
    </header>
    <p>${line.message ?? ""}</p>
    <dl class="inline">
      <div><dt>Happened</dt><dd>${moment(line.published)}</dd></div>
      <div><dt>Received</dt><dd>${moment(line.received_at)}, by ${line.source === "log" ? "the System Log" : "the hook"}</dd></div>
      <div><dt>Org</dt><dd>${line.org}</dd></div>
      <div><dt>UUID</dt><dd><code>${line.uuid}</code></dd></div>
      ${line.user_agent ? html`<div><dt>User agent</dt><dd>${line.user_agent}</dd></div>` : nothing}
      ${line.reason ? html`<div><dt>Reason</dt><dd>${line.reason}</dd></div>` : nothing}
    </dl>
    ${error ? html`<p class="error">${error}</p>` : nothing}
    ${whole
      ? html`<div class="forms">
          ${Object.entries(LABELS).map(
            ([form, label]) => html`<div class="form">
              <h3 id="form-${form}">${label}</h3>
              <pre tabindex="0" role="region" aria-labelledby="form-${form}">${JSON.stringify(whole[form], null, 2)}</pre>
            </div>`,
          )}
        </div>`
      : error
        ? nothing
        : html`<p class="muted">Loading…</p>`}`;
}
