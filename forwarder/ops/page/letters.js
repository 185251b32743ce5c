// Dead letters with replay and discard; missed events; refused requests.

import { html, nothing } from "./html.js";
import { moment, number, plural } from "./format.js";

export class Letters {
  list = null;
  filter = { sink: "", reason: "" };
  message = "";
  error = "";

  query() {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(this.filter)) if (value) query.set(name, value);
    return query.toString();
  }

  // The body of a request to change all listed dead letters: the current filter, and the number of events that the
  // person has seen.
  selection() {
    const { sink, reason } = this.filter;
    const filter = { ...(sink && { sink }), ...(reason && { reason }) };
    return { ...(Object.keys(filter).length ? filter : { all: true }), events: this.list.events };
  }
}

const options = (values, selected, all) => [
  html`<option value="" ?selected=${!selected}>${all}</option>`,
  ...values.map((value) => html`<option value=${value} ?selected=${value === selected}>${value}</option>`),
];

const unique = (counts, key) => [...new Set(counts.map((each) => each[key]))].sort();

function letterRow(letter, actions) {
  const waiting = letter.state !== "dead";
  const what = `dead letter ${letter.id}`;
  return html`<tr>
    <td data-label="Rejected">${moment(letter.at)}</td>
    <td data-label="Sink">${letter.sink}</td>
    <td data-label="Event" class="text">${letter.event_type || (letter.events > 1 ? plural(letter.events, "event", "events") : "malformed")}</td>
    <td data-label="Reason">${letter.reason}</td>
    <td data-label="The sink's message" class="text wide">${letter.detail}</td>
    <td class="actions">
      ${waiting
        ? html`<span class="muted">is sent again</span>`
        : html`<button type="button" aria-label="Show ${what}" @click=${() => actions.showLetter(letter)}>Show</button>
            <button type="button" aria-label="Replay ${what}" ?disabled=${!letter.replayable} @click=${() => actions.ask("replay", { ids: [letter.id] }, letter.events, what)}>Replay</button>
            <button type="button" aria-label="Discard ${what}" @click=${() => actions.ask("discard", { ids: [letter.id] }, letter.events, what)}>Discard</button>`}
    </td>
  </tr>`;
}

export function lettersView({ letters, rights }, actions) {
  const { list, filter } = letters;
  if (!list) return nothing;
  const filtered = filter.sink || filter.reason;
  const scope = filtered ? `all ${number(list.events)} that match` : `all ${number(list.events)}`;
  return html`<section aria-labelledby="letters-title">
    <h2 id="letters-title">Dead letters</h2>
    ${letters.message ? html`<p class="done" tabindex="-1" id="letters-message">${letters.message}</p>` : nothing}
    ${letters.error ? html`<p class="error">${letters.error}</p>` : nothing}
    ${!list.dead_letters.length && !filtered
      ? html`<p class="empty">None. No rejected event waits for a decision.</p>`
      : html`
          <div class="bar">
            <label>Sink<select @change=${(event) => actions.filterLetters("sink", event.target.value)}>${options(unique(letters.all.counts, "sink"), filter.sink, "every sink")}</select></label>
            <label>Reason<select @change=${(event) => actions.filterLetters("reason", event.target.value)}>${options(unique(letters.all.counts, "reason"), filter.reason, "every reason")}</select></label>
            <button type="button" ?disabled=${!list.events} @click=${() => actions.ask("replay", letters.selection(), list.events, scope)}>Replay ${scope}</button>
            <button type="button" ?disabled=${!list.events} @click=${() => actions.ask("discard", letters.selection(), list.events, scope)}>Discard ${scope}</button>
          </div>
          ${rights.token_configured
            ? nothing
            : html`<p class="note">To replay or discard here, set <code>ops.token</code> in the configuration. On the forwarder's machine:
                <code>forwarder dead-letters replay --all${filter.sink ? ` --sink ${filter.sink}` : ""}</code></p>`}
          <div class="scroll tall" tabindex="0" role="region" aria-label="List of dead letters">
            <table class="cards">
              <caption>${plural(list.events, "event", "events")} in dead letters${filtered ? " that match" : ""}${list.dead_letters.length < list.events ? `; the newest ${number(list.dead_letters.length)} are listed` : ""}.</caption>
              <thead><tr><th scope="col">Rejected</th><th scope="col">Sink</th><th scope="col">Event</th><th scope="col">Reason</th><th scope="col">The sink's message</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
              <tbody>${list.dead_letters.map((letter) => letterRow(letter, actions))}</tbody>
            </table>
          </div>`}
  </section>`;
}

export function confirmDialog(asked, close, confirm) {
  if (!asked) return nothing;
  const { verb, events, scope, busy, error } = asked;
  const discards = verb === "discard";
  return html`<h2 id="confirm-title">${discards ? "Discard" : "Replay"} ${scope}?</h2>
    <p>${discards
      ? `After that, ${events === 1 ? "this event" : `these ${number(events)} events`} can never be replayed. The ledger counts them as discarded.`
      : `${plural(events, "event is", "events are")} sent again to the sink that rejected ${events === 1 ? "it" : "them"}. An event that is rejected again stays a dead letter.`}</p>
    ${error ? html`<p class="error" role="alert">${error}</p>` : nothing}
    <div class="bar end">
      <button type="button" @click=${close}>Cancel</button>
      <button type="button" class=${discards ? "danger" : "primary"} ?disabled=${busy} @click=${confirm}>${discards ? "Discard" : "Replay"} ${plural(events, "event", "events")}</button>
    </div>`;
}

export function letterDialog(shown, close) {
  if (!shown) return nothing;
  const { letter, whole, error } = shown;
  return html`<header><h2 id="letter-title">Dead letter ${letter.id}</h2><button type="button" @click=${close}>Close</button></header>
    <p><strong>${letter.sink}: ${letter.reason}.</strong> ${letter.detail}</p>
    ${error ? html`<p class="error">${error}</p>` : nothing}
    <h3 id="letter-raw">As received from Okta</h3>
    <pre tabindex="0" role="region" aria-labelledby="letter-raw">${whole ? (typeof whole.raw === "string" ? whole.raw : JSON.stringify(whole.raw, null, 2)) : "Loading…"}</pre>`;
}

export function tokenDialog(asked, close, save) {
  if (!asked) return nothing;
  return html`<form @submit=${save}>
    <h2 id="token-title">${asked.why}</h2>
    <p>Type the token of <code>ops.token</code>. The token is kept until this tab is closed.</p>
    <label>Token<input name="token" type="password" autocomplete="off" required aria-describedby="token-error"></label>
    <p class="error" id="token-error" role="alert">${asked.error ?? ""}</p>
    <div class="bar end"><button type="button" @click=${close}>Cancel</button><button type="submit" class="primary">Continue</button></div>
  </form>`;
}

export function gapsView({ gaps, status }) {
  if (!gaps) return nothing;
  const unread = Object.keys(status.okta).filter((name) => !status.okta[name].api);
  const pending = Object.values(gaps.pending).reduce((sum, each) => sum + each, 0);
  return html`<section aria-labelledby="gaps-title">
    <h2 id="gaps-title">Missed by the hook</h2>
    ${gaps.missed
      ? html`<div class="scroll tall" tabindex="0" role="region" aria-label="List of missed events">
          <table class="cards">
            <caption>${plural(gaps.missed, "event", "events")} that Okta meant for the hook and did not deliver. No event is lost: the forwarder has read them from the System Log.
              ${pending ? `${plural(pending, "more is", "more are")} pending.` : ""}</caption>
            <thead><tr><th scope="col">Happened</th><th scope="col">Org</th><th scope="col">Type</th><th scope="col">UUID</th><th scope="col">Read from the log</th></tr></thead>
            <tbody>${gaps.events.map(
              (gap) => html`<tr><td data-label="Happened">${moment(gap.published)}</td><td data-label="Org">${gap.org}</td><td data-label="Type" class="text">${gap.event_type}</td>
                <td data-label="UUID" class="text"><code>${gap.uuid}</code></td><td data-label="Read from the log">${moment(gap.read_from_log_at)}</td></tr>`,
            )}</tbody>
          </table>
        </div>`
      : html`<p class="empty">${unread.length ? "None is known" : "None"}${pending ? `; ${plural(pending, "event is", "events are")} pending, which the hook may still deliver` : ""}.
          ${unread.length ? html`Without <code>orgs.NAME.api</code>, missed events of ${unread.join(", ")} go unnoticed.` : nothing}</p>`}
  </section>`;
}

const REASONS = { missing: "no secret", wrong: "wrong secret", duplicate: "two secrets" };

export function refusalsView({ status }) {
  const refusals = status.recent_refusals;
  return html`<section aria-labelledby="refusals-title">
    <h2 id="refusals-title">Refused requests (401)</h2>
    ${refusals.length
      ? html`<div class="scroll tall" tabindex="0" role="region" aria-label="List of refused requests">
          <table class="cards">
            <caption>The last ${number(refusals.length)} since the start. Okta's user agent is Okta-Integrations.</caption>
            <thead><tr><th scope="col">Time</th><th scope="col">Address</th><th scope="col">Reason</th><th scope="col">Path</th><th scope="col">User agent</th></tr></thead>
            <tbody>${refusals.map(
              (each) => html`<tr><td data-label="Time">${moment(each.at)}</td><td data-label="Address" class="text">${each.client || "–"}</td>
                <td data-label="Reason">${REASONS[each.reason] ?? each.reason}</td><td data-label="Path" class="text">${each.path}</td><td data-label="User agent" class="text">${each.user_agent || "–"}</td></tr>`,
            )}</tbody>
          </table>
        </div>`
      : html`<p class="empty">None since the start.</p>`}
  </section>`;
}
