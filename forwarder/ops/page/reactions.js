// What reactions wait for, what they have changed in Okta and until when, and what holds them back. This page only shows
// the actions; a human decides about them on `approve.html`. Shows nothing if no reactions are configured.

import { html, nothing } from "./html.js";
import { url } from "./api.js";
import { moment, number, plural, prose } from "./format.js";

const MODES = {
  off: "Nothing is sent. Effects that are live still end in time.",
  shadow: "Nothing is sent. Each action is recorded with the request that enforce would send.",
  enforce: "Actions are sent to Okta, except those of entries in shadow.",
};
export const WAITS = { confirmation: "the System Log", retry: "another try" };

export function targetName({ kind, id, name }) {
  if (kind === "alert") return html`<span class="muted">–</span>`;
  return html`<bdi>${name || id}</bdi>`;
}

const table = (label, caption, columns, rows) => html`<div class="scroll tall" tabindex="0" role="region" aria-label=${label}>
  <table class="cards">
    <caption>${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th scope="col">${column || html`<span class="visually-hidden">Decision</span>`}</th>`)}</tr></thead>
    <tbody>${rows}</tbody>
  </table>
</div>`;

const about = (action) => html`<th scope="row">${action.action}</th>
  <td data-label="Target" class="text">${targetName(action.target)}</td>
  <td data-label="Rule" class="text"><bdi>${action.title}</bdi></td>
  <td data-label="Org">${action.org}</td>`;

const more = (shown, all) => (shown.length < all ? ` The first ${number(shown.length)} are listed.` : "");

function approvals({ approvals: listed, waiting_approvals: all }) {
  if (!all) return nothing;
  const row = (action) => html`<tr>${about(action)}
    <td data-label="Why" class="text"><span>${action.limit ? html`over the limit <code>${action.limit}</code>` : "it needs approval"}</span></td>
    <td data-label="Planned">${moment(action.planned_at)}</td>
    <td data-label="Decide until">${moment(action.until)}</td>
    <td class="actions"><a class="button" href=${url(`approve/${action.id}`)} aria-label="Decide about ${action.action} of ${action.target.name || action.target.id}">Decide</a></td>
  </tr>`;
  return table(
    "List of actions that wait for approval",
    html`${plural(all, "action waits", "actions wait")} for approval. Without a decision in time, an action is refused.${more(listed, all)}`,
    ["Action", "Target", "Rule", "Org", "Why", "Planned", "Decide until", ""],
    listed.map(row),
  );
}

function others({ waiting: listed, waiting_confirmation: unconfirmed, waiting_retry: retried }) {
  if (!unconfirmed && !retried) return nothing;
  const row = (action) => html`<tr>${about(action)}
    <td data-label="Waits for">${WAITS[action.waits_for] ?? action.waits_for}</td>
    <td data-label="Next try">${moment(action.next_try)}</td>
    <td data-label="Why" class="text wide"><span>${prose(action.detail)}</span></td>
  </tr>`;
  const counts = [
    unconfirmed ? `${plural(unconfirmed, "action waits", "actions wait")} until the System Log shows the event.` : "",
    retried ? `${plural(retried, "action waits", "actions wait")} for another try.` : "",
  ];
  return table(
    "List of actions that wait for Okta",
    html`${counts.filter(Boolean).join(" ")}${more(listed, unconfirmed + retried)}`,
    ["Action", "Target", "Rule", "Org", "Waits for", "Next try", "Why"],
    listed.map(row),
  );
}

function effects({ live: listed, live_effects: all, overdue_undos: overdue }) {
  if (!all) return nothing;
  const end = (action) => (action.overdue ? html`<span class="outcome critical">${moment(action.until)}, overdue</span>` : moment(action.until));
  const row = (action) => html`<tr>${about(action)}
    <td data-label="Ends" class="text"><span>${end(action)}${action.detail ? html`<br>${prose(action.detail)}` : nothing}</span></td>
    <td data-label="ID" class="id"><code>${action.id}</code></td>
  </tr>`;
  return table(
    "List of live effects",
    html`${plural(all, "effect is", "effects are")} live.${overdue ? ` ${plural(overdue, "should have ended and is", "should have ended and are")} still there.` : ""}
      <code>forwarder reactions undo ID</code> ends one now.${more(listed, all)}`,
    ["Action", "Target", "Rule", "Org", "Ends", "ID"],
    listed.map(row),
  );
}

function limits({ limits: reached }) {
  if (!reached.length) return nothing;
  return table(
    "List of limits that were reached",
    "Limits that held actions back in the last 24 hours; an action above a limit waits for approval.",
    ["Limit", "Last hour", "Last 24 hours", "Last action"],
    reached.map(
      (each) => html`<tr><th scope="row"><code>${each.limit}</code></th><td data-label="Last hour">${number(each.last_hour)}</td>
        <td data-label="Last 24 hours">${number(each.last_day)}</td><td data-label="Last action">${moment(each.last)}</td></tr>`,
    ),
  );
}

function pausesView({ pauses, paused }) {
  if (!paused) return nothing;
  const sentence = ({ text }) => html`<bdi>${text[0].toUpperCase()}${text.slice(1)}</bdi>`;
  return html`<ul class="pauses">
    ${pauses.map(
      (pause) => html`<li><strong>${sentence(pause)}:</strong> ${pause.why}. <span class="muted">Since ${moment(pause.since)}${pause.by ? ` by ${pause.by}` : ""},
        ${pause.until ? `until ${moment(pause.until)}` : html`until <code>forwarder reactions resume</code>`}.</span></li>`,
    )}
    ${pauses.length < paused ? html`<li>${plural(paused - pauses.length, "more pause", "more pauses")}.</li>` : nothing}
  </ul>`;
}

export function reactionsView({ status }) {
  const { reactions } = status;
  if (!reactions) return nothing;
  const parts = [approvals(reactions), others(reactions), effects(reactions), limits(reactions)].filter((part) => part !== nothing);
  return html`<section aria-labelledby="reactions-title">
    <h2 id="reactions-title">Reactions</h2>
    <p class="mode"><strong class="mode-name ${reactions.mode}">Mode: ${reactions.mode}</strong> ${MODES[reactions.mode]}</p>
    ${pausesView(reactions)}
    ${parts.length ? html`<div class="lists">${parts}</div>` : html`<p class="empty">No action waits, no effect is live, and no limit was reached in the last 24 hours.</p>`}
  </section>`;
}
