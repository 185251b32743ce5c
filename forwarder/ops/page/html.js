// lit-html, with every text made safe to read: a text that a sender chose may reverse the direction of a line or hide a part
// of it. lit-html itself ensures that no text becomes an element.

import { html as lit } from "./lit-html.js";

export { nothing, render, svg } from "./lit-html.js";

// As in forwarder/core/printable.py.
const STEERING =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e007f}]/gu;

function escaped(character) {
  const code = character.codePointAt(0);
  const digits = (count) => code.toString(16).padStart(count, "0");
  if (code < 0x100) return `\\x${digits(2)}`;
  return code < 0x10000 ? `\\u${digits(4)}` : `\\U${digits(8)}`;
}

export function printable(value) {
  if (typeof value === "string") return value.replace(STEERING, escaped);
  return Array.isArray(value) ? value.map(printable) : value;
}

export const html = (strings, ...values) => lit(strings, ...values.map(printable));
