// Numbers, times and durations as a person reads them.

import { html } from "./html.js";

const grouped = new Intl.NumberFormat("en");
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const number = (value) => (value == null ? "–" : grouped.format(value));

export const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

export function rate(perSecond) {
  if (perSecond == null) return "–";
  if (perSecond > 0 && perSecond < 0.1) return "< 0.1/s";
  return `${perSecond < 10 ? oneDigit.format(perSecond) : number(Math.round(perSecond))}/s`;
}

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1) return "< 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${oneDigit.format(seconds / 3600)} h`;
  return `${number(Math.round(seconds / 86400))} d`;
}

export const ago = (seconds, never) => (seconds == null ? never : `${duration(seconds)} ago`);

export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at ? oneDigit.format(value) : value} ${units[at]}`;
}

// Times are in UTC, as in the SIEM and in log lines.
export const clock = (iso) => iso?.slice(11, 23) ?? "–";
export const moment = (iso) => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC` : "–");

// Text between backticks is shown as code, as in the documentation.
export const prose = (text) => text.split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));

// The text of a server may end with a full stop already.
export const sentence = (text) => prose(`${text.replace(/[.;]+$/, "")}.`);
