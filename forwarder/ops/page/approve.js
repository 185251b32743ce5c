// One action that waits for a human: what it is about, and the two buttons. The decision needs the token of `ops.token`, or
// a proxy that says who decides; beside it goes a token that counts once.

import { html, render } from "./lit-html.js";
import { change, keepToken, read, token } from "./api.js";

const place = document.getElementById("approval");
const id = decodeURIComponent(location.pathname.split("/approve/")[1] ?? "");
let shown = null;
let message = "";

const row = (name, value) => (value ? html`<tr><th scope="row">${name}</th><td>${value}</td></tr>` : "");
const target = (action) => [action.target.name, action.target.id].filter(Boolean).join(" · ");
const request = (action) => (action.request ? `${action.request.method} ${action.request.path ?? ""}` : "");

async function load() {
  try {
    shown = await read(`api/reactions/${encodeURIComponent(id)}`);
    message = "";
  } catch (error) {
    shown = null;
    message = error.message;
  }
  draw();
}

async function decide(given) {
  try {
    const done = await change(`approve/${encodeURIComponent(id)}`, { token: shown.token, given });
    shown = { action: done.action, token: null };
    message = given ? "Approved." : "Refused.";
  } catch (error) {
    message = error.message;
    await load();
    message ||= error.message;
  }
  draw();
}

function withToken(event) {
  event.preventDefault();
  keepToken(event.target.elements.token.value.trim());
  load();
}

const form = () => html`<form @submit=${withToken}>
  <label>Token of <code>ops.token</code> <input name="token" type="password" autocomplete="off" .value=${token()}></label>
  <button>Use it</button></form>`;

const about = ({ action }) => html`<table><tbody>
  ${row("Action", action.name)}${row("Target", target(action))}${row("Org", action.org)}${row("Rule", action.title)}
  ${row("Why", action.detail)}${row("Lasts", action.settings?.for ? `${action.settings.for} s` : "")}
  ${row("Call", request(action))}${row("Alert", action.alert)}${row("Happened", action.published)}
  ${row("Decide until", action.approval?.until)}${row("State", action.state)}</tbody></table>
  ${shown.token
    ? html`<p><button @click=${() => decide(true)}>Approve</button> <button @click=${() => decide(false)}>Refuse</button></p>`
    : html`<p>It does not wait for a decision.</p>`}`;

function draw() {
  render(
    html`<h1>Approve an action</h1>
      ${shown ? about(shown) : ""}
      <p role="status">${message}</p>
      ${form()}`,
    place,
  );
}

load();
