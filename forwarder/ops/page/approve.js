// One action that waits for a human: what it is about, and the two buttons. A decision needs the token of `ops.token`, or a
// proxy that names the user, and also a token that is valid for one decision.

import { html, nothing, render } from "./html.js";
import { change, keepToken, read, url } from "./api.js";
import { duration, moment, prose } from "./format.js";
import { WAITS, targetName } from "./reactions.js";

const state = {
  rights: { may_read: true, may_change: false, token_configured: true },
  action: null,
  once: null, // the token for one decision about the action
  loaded: false,
  done: "",
  error: "",
  wrong: "", // why the token of `ops.token` was not accepted
  busy: false,
};

const id = idOf(location.pathname);

function idOf(path) {
  const written = path.slice(path.lastIndexOf("/approve/") + "/approve/".length);
  try {
    return decodeURIComponent(written);
  } catch {
    return written; // not an id of ours; the forwarder answers that no such action exists
  }
}

async function load() {
  try {
    state.rights = await read("api/access");
    if (!state.rights.may_read) return;
    const { action, token: once } = await read(`api/reactions/${encodeURIComponent(id)}`);
    Object.assign(state, { action, once });
  } catch (error) {
    Object.assign(state, { action: null, once: null, error: error.message });
  } finally {
    state.loaded = true;
    draw();
  }
}

async function decide(given) {
  Object.assign(state, { busy: true, error: "" });
  draw();
  try {
    const { action } = await change(`approve/${encodeURIComponent(id)}`, { token: state.once, given });
    const by = action.approval.by;
    state.done = given ? `Approved by ${by}. It is carried out now, if the guards still allow it.` : `Refused by ${by}. It will not be carried out.`;
    Object.assign(state, { action, once: null });
    draw();
    document.getElementById("result").focus();
  } catch (error) {
    await load();
    state.error ||= `Nothing was decided: ${error.message}`;
  }
  state.busy = false;
  draw();
}

async function takeToken(event) {
  event.preventDefault();
  keepToken(event.target.elements.token.value.trim());
  Object.assign(state, { error: "", wrong: "" });
  await load();
  if (state.rights.may_change) {
    document.getElementById("about")?.focus();
    return;
  }
  keepToken("");
  state.wrong = "The token is wrong.";
  draw();
}

// Drawing

const KINDS = {
  quiet: () => "It changes nothing for the user.",
  mending: () => "It cannot be undone.",
  timed: ({ settings }) => `It is undone after ${duration(settings.for)}.`,
  prompt: () => "It asks the user, once.",
};
const why = ({ why: limit = "asks" }) => (limit === "asks" ? "It needs approval" : html`It is over the limit <code>reactions.limits.${limit}</code>`);

const fact = (name, value) => (value ? html`<div><dt>${name}</dt><dd>${value}</dd></div>` : nothing);

const about = (action) => html`<div class="card">
  <h2 id="about" tabindex="-1">${action.action}${action.target.kind === "alert" ? nothing : html` of ${targetName(action.target)}`}</h2>
  <p>${KINDS[action.kind](action)}</p>
  <dl class="facts">
    ${fact("Why it waits", action.approval && why(action.approval))}
    ${fact("Decide until", action.approval && moment(action.approval.until))}
    ${fact("Rule", html`<bdi>${action.title}</bdi>`)}
    ${fact("Event happened", moment(action.published))}
    ${fact("Target", action.target.kind === "alert" ? "" : html`${action.target.kind} <code>${action.target.id}</code>`)}
    ${fact("Group", action.settings?.group)}
    ${fact("Org", action.org)}
    ${fact("Alert", html`<code>${action.alert}</code>, code ${action.code}`)}
    ${fact("ID", html`<code>${action.id}</code>`)}
  </dl>
</div>`;

const tokenForm = (why) => html`<form class="card" @submit=${takeToken}>
  <p>${why} The token is kept until this tab is closed.</p>
  <div class="bar">
    <label>Token<input name="token" type="password" autocomplete="off" required aria-describedby="token-error"></label>
    <button class="primary">Continue</button>
  </div>
  <p class="error" id="token-error" role="alert">${state.wrong}</p>
</form>`;

const commands = (action) => html`<code>forwarder reactions approve ${action}</code>, or <code>refuse ${action}</code>`;

function decision() {
  const { action, once, rights, busy, done } = state;
  if (done) return nothing;
  if (!once) return html`<p class="empty">This action does not wait for approval: it ${action.waits_for ? `waits for ${WAITS[action.waits_for] ?? "the call"}` : `is ${action.state}`}.</p>`;
  if (rights.may_change)
    return html`<div class="bar decide">
      <button type="button" class="primary" ?disabled=${busy} @click=${() => decide(true)}>Approve</button>
      <button type="button" ?disabled=${busy} @click=${() => decide(false)}>Refuse</button>
    </div>`;
  if (rights.token_configured) return tokenForm(html`To decide, type the token of <code>ops.token</code>.`);
  return html`<p class="empty">To decide here, set <code>ops.token</code> in the configuration. On the forwarder's machine: ${commands(action.id)}</p>`;
}

function content() {
  const { action, rights, loaded, error } = state;
  if (!loaded) return html`<p class="muted">Reading the action…</p>`;
  if (!rights.may_read)
    return rights.token_configured
      ? tokenForm(html`To see the action, type the token of <code>ops.token</code>.`)
      : html`<p class="empty">On other machines, this page needs <code>ops.token</code>, which is not set. On the forwarder's machine: <code>forwarder reactions list --waiting</code></p>`;
  return action ? html`${about(action)} ${decision()}` : error ? nothing : html`<p class="empty">There is no such action.</p>`;
}

function draw() {
  render(
    html`<header class="top"><h1>Approve an action</h1><a class="end" href=${url("")}>Status page</a></header>
      <main>
        ${content()}
        <p class="done" id="result" tabindex="-1" role="status">${state.done}</p>
        <p class="error" role="alert">${prose(state.error)}</p>
      </main>`,
    document.getElementById("page"),
  );
}

draw();
await load();
