// What each rule did in the last 24 hours. Shows nothing if no rules are configured.

import { html, nothing } from "./html.js";
import { ago, number, plural } from "./format.js";

const LEVELS = { critical: "critical", high: "critical" };

function heldBack(rule) {
  const byExceptions = rule.held_back_by_exceptions_24h;
  return html`<span>${number(rule.held_back_24h)}${byExceptions ? ` (${number(byExceptions)} by exceptions)` : ""}</span>`;
}

function row(rule) {
  const alerts = rule.alerts_by_itself ? number(rule.alerts_24h) : html`<span class="muted">feeds others</span>`;
  return html`<tr>
    <th scope="row" class="text">${rule.title}</th>
    <td data-label="Level"><span class="outcome ${rule.alerts_24h ? (LEVELS[rule.level] ?? "") : ""}">${rule.level}</span></td>
    <td data-label="Alerts" class="num">${alerts}</td>
    <td data-label="Last alert">${rule.alerts_by_itself ? ago(rule.last_alert_seconds_ago, "none") : "–"}</td>
    <td data-label="Held back" class="num">${heldBack(rule)}</td>
  </tr>`;
}

export function rulesView({ status }) {
  const { rules } = status;
  if (!rules) return nothing;
  const alerts = rules.loaded.reduce((sum, rule) => sum + rule.alerts_24h, 0);
  const notes = [
    rules.reading_earlier_events ? "New rules are reading earlier events; the old rules are active until then." : "",
    rules.behind > 1000 ? `${plural(rules.behind, "event is", "events are")} still to be evaluated.` : "",
    rules.failures ? `${plural(rules.failures, "event", "events")} could not be evaluated since the start.` : "",
  ];
  return html`<section aria-labelledby="rules-title">
    <h2 id="rules-title">Rules</h2>
    <div class="scroll tall" tabindex="0" role="region" aria-label="List of rules">
      <table class="cards">
        <caption>${plural(rules.loaded.length, "rule is", "rules are")} loaded; ${plural(alerts, "alert", "alerts")} in the last 24 hours. ${notes.filter(Boolean).join(" ")}</caption>
        <thead><tr><th scope="col">Rule</th><th scope="col">Level</th><th scope="col" class="num">Alerts in 24 h</th><th scope="col">Last alert</th><th scope="col" class="num">Held back in 24 h</th></tr></thead>
        <tbody>${rules.loaded.map(row)}</tbody>
      </table>
    </div>
  </section>`;
}
