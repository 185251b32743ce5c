// The verdict, the pipe from Okta through the store to the sinks, and the ledger.

import { html, nothing } from "./html.js";
import { ago, bytes, duration, number, plural, prose, rate, sentence } from "./format.js";
import { trend } from "./trend.js";

const SIGNS = { critical: "✕", warning: "!", waiting: "…", ok: "✓", lost: "?" };
const NAMES = { critical: "Critical", warning: "Warning", waiting: "Waiting", ok: "Fine", lost: "Unknown" };

const sign = (level) => html`<span class="sign ${level}" aria-hidden="true">${SIGNS[level]}</span>`;

export function verdictOf(state) {
  if (state.connection.state === "lost") {
    const known = state.status ? " What is shown below is the last known state." : "";
    return { level: "lost", text: `The state is unknown: ${state.connection.text}.${known}` };
  }
  return state.status?.verdict ?? { level: "waiting", text: "Loading…" };
}

export function verdictView(state) {
  const verdict = verdictOf(state);
  const problems = verdict.level === "lost" ? [] : (state.status?.problems ?? []);
  return html`<div class="verdict ${verdict.level}" role="status">
    <p class="verdict-text">${sign(verdict.level)} ${verdict.text}</p>
    ${problems.length
      ? html`<ol class="problems">
          ${problems.map(
            ({ level, text, hint, runbook }) => html`<li class=${level}>
              <p><strong>${NAMES[level]}:</strong> ${sentence(text)}</p>
              ${hint ? html`<p class="hint"><strong>To do:</strong> ${sentence(hint)}</p>` : nothing}
              ${runbook ? html`<p class="hint">Runbook: ${runbook}</p>` : nothing}
            </li>`,
          )}
        </ol>`
      : nothing}
  </div>`;
}

const fact = (label, value, level = "") =>
  html`<div class="fact ${level}"><dt>${label}</dt><dd>${value}</dd></div>`;

const badge = (level, text) => html`<span class="badge ${level}">${sign(level)} ${text}</span>`;

function hookBadge(org) {
  if (!org.hook_configured) return badge("waiting", "no hook");
  if (org.refused_level) return badge(org.refused_level, "refused (401)");
  if (org.hook && org.hook.condition !== "live")
    return badge(org.hook.condition === "unknown" ? "waiting" : "warning", org.hook.condition);
  if (org.accepted_seconds_ago == null) return badge("waiting", "nothing yet");
  return badge("ok", org.hook ? "live" : "receiving");
}

function orgCard([name, org]) {
  const log = org.log;
  return html`<article class="card" aria-labelledby="org-${name}">
    <h3 id="org-${name}">${name}</h3>
    <dl>
      ${fact("Hook", hookBadge(org))}
      ${fact("Last accepted", ago(org.accepted_seconds_ago, "none yet"))}
      ${fact("Refused since", number(org.refused), org.refused ? "bad" : "")}
      ${fact(
        "System Log",
        log
          ? log.error
            ? badge("warning", "not read")
            : badge(log.last_poll_seconds_ago == null ? "waiting" : "ok", ago(log.last_poll_seconds_ago, "not read yet"))
          : badge("waiting", org.api ? "starting" : "not read"),
      )}
      ${log ? fact("Complete up to", ago(log.complete_up_to_seconds_ago, "–")) : nothing}
      ${log ? fact("Missed by the hook", number(log.missed), log.missed ? "warn" : "") : nothing}
    </dl>
    ${org.api ? nothing : html`<p class="note">Without <code>orgs.${name}.api</code>, missed events go unnoticed.</p>`}
    ${[log?.error, org.hook?.error, org.hook_quota].filter(Boolean).map((text) => html`<p class="error">${prose(text)}</p>`)}
  </article>`;
}

function storeCard(state) {
  const { status } = state;
  const full = status.store_max_bytes ? status.store_waiting_bytes / status.store_max_bytes : 0;
  const percent = `${full > 0 && full < 0.01 ? "< 1" : Math.round(full * 100)} %`;
  return html`<article class="card" aria-labelledby="store">
    <h3 id="store">Store</h3>
    <dl>
      ${fact("State", status.ready ? badge("ok", "storing") : badge("critical", "refuses"))}
      ${fact("In", rate(state.rates.stored))}
      ${fact("Stored", number(status.stored))}
      ${fact("Duplicates", number(status.duplicates))}
      ${fact("Malformed", number(status.rejected), status.rejected ? "warn" : "")}
      ${fact("Waiting, of the limit", html`${percent} of ${bytes(status.store_max_bytes)}`, full > 0.8 ? "bad" : full > 0.5 ? "warn" : "")}
      ${fact("On disk", html`${bytes(status.store_bytes)}, ${bytes(status.store_disk_free_bytes)} free`)}
    </dl>
    ${status.not_ready_reason ? html`<p class="error">${status.not_ready_reason}</p>` : nothing}
    ${trend("Stored", state.trends.stored(), rate)}
  </article>`;
}

const STATES = { running: "ok", idle: "ok", retrying: "warning", paused: "critical", stopped: "warning" };

function sinkCard(state, [name, sink]) {
  const level = sink.set_aside || sink.warning ? "warning" : STATES[sink.state];
  const works = sink.state === "running" || sink.state === "idle";
  return html`<article class="card" aria-labelledby="sink-${name}">
    <h3 id="sink-${name}">${name}</h3>
    <dl>
      ${fact("State", badge(level, sink.state))}
      ${fact("Out", rate(state.rates.sinks[name]))}
      ${fact("Waiting", number(sink.waiting), !works && sink.waiting ? "warn" : "")}
      ${fact("Oldest waiting", sink.waiting ? duration(sink.oldest_waiting_seconds) : "–")}
      ${fact("Last delivery", ago(sink.last_success_seconds_ago, "none yet"))}
      ${fact("Dead letters", number(sink.dead), sink.dead ? "warn" : "")}
      ${sink.next_try_in_seconds == null ? nothing : fact("Next try", `in ${duration(sink.next_try_in_seconds)}`)}
    </dl>
    ${sink.last_error && (!works || sink.set_aside)
      ? html`<p class="error"><strong>Last error:</strong> ${prose(sink.last_error)}</p>`
      : nothing}
    ${sink.hint ? html`<p class="hint"><strong>To do:</strong> ${sentence(sink.hint)}</p>` : nothing}
    ${sink.warning ? html`<p class="hint">${prose(sink.warning)}</p>` : nothing}
    ${trend("Delivered", state.trends.delivered(name), rate)}
    ${state.trends.waiting(name).some(([, waiting]) => waiting > 0)
      ? trend("Waiting", state.trends.waiting(name), number)
      : nothing}
  </article>`;
}

export function pipeView(state) {
  const { status } = state;
  const flows = (moving) => (moving ? "stage flows" : "stage");
  const out = Object.values(state.rates.sinks).some((each) => each > 0);
  return html`<section aria-labelledby="pipe-title">
    <h2 id="pipe-title">Pipe</h2>
    <div class="pipe">
      <div class=${flows(state.rates.stored > 0)}>
        <p class="stage-name">From Okta</p>
        ${Object.entries(status.okta).map(orgCard)}
      </div>
      <div class=${flows(out)}><p class="stage-name">Kept until delivered</p>${storeCard(state)}</div>
      <div class="stage">
        <p class="stage-name">To your SIEM</p>
        ${Object.entries(status.sinks).map((entry) => sinkCard(state, entry))}
      </div>
    </div>
  </section>`;
}

const PLACES = ["delivered", "waiting", "dead", "discarded", "skipped", "filtered"];

export function ledgerView({ status }) {
  const text = status.balanced ? "Every stored event is in exactly one place for each sink." : "The ledger does not balance: for a sink, the numbers do not add up to the number of stored events.";
  return html`<section aria-labelledby="ledger-title">
    <h2 id="ledger-title">Ledger</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Ledger by sink">
      <table class="cards">
        <caption>${text} ${plural(status.stored, "event", "events")} stored.</caption>
        <thead><tr><th scope="col">Sink</th>${PLACES.map((place) => html`<th scope="col" class="num">${place}</th>`)}<th scope="col" class="num">sum</th></tr></thead>
        <tbody>
          ${Object.entries(status.sinks).map(
            ([name, sink]) => html`<tr>
              <th scope="row">${name}</th>
              ${PLACES.map((place) => html`<td class="num" data-label=${place}>${number(sink[place] ?? 0)}</td>`)}
              <td class="num" data-label="sum">${number(PLACES.reduce((sum, place) => sum + (sink[place] ?? 0), 0))}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}
