// Trend lines of the last hour: an SVG polyline with a text that says the same.

import { html, svg } from "./html.js";

const WIDTH = 240;
const HEIGHT = 36;
const SPAN = 3600;
const SHORTEST = 300;

const slopes = (points) =>
  points.slice(1).map(([at, value], index) => {
    const [before, old] = points[index];
    return [at, Math.max(0, value - old) / Math.max(at - before, 0.001)];
  });

export class Trends {
  samples = [];

  load({ samples, interval_seconds: interval }) {
    this.interval = interval;
    this.samples = samples;
  }

  // Adds a status of the stream, as often as the server takes samples.
  add(status, at) {
    const last = this.samples.at(-1);
    if (!this.interval || (last && at - last.at < this.interval)) return;
    const sinks = Object.fromEntries(
      Object.entries(status.sinks).map(([name, sink]) => [
        name,
        { delivered: sink.delivered, waiting: sink.waiting, lag: sink.oldest_waiting_seconds },
      ]),
    );
    this.samples = [...this.samples, { at, stored: status.stored, sinks }].filter((sample) => at - sample.at <= SPAN);
  }

  stored() {
    return slopes(this.samples.map((sample) => [sample.at, sample.stored]));
  }

  delivered(sink) {
    return slopes(this.#of(sink, "delivered"));
  }

  waiting(sink) {
    return this.#of(sink, "waiting");
  }

  #of(sink, key) {
    return this.samples.filter((sample) => sample.sinks[sink]).map((sample) => [sample.at, sample.sinks[sink][key]]);
  }
}

export function trend(label, points, format) {
  if (points.length < 2) return html`<p class="trend-none">${label}: the trend begins within two minutes.</p>`;
  const end = points.at(-1)[0];
  const values = points.map(([, value]) => value);
  const span = Math.max(end - points[0][0], SHORTEST); // a line of less than five minutes does not get the whole width
  const top = Math.max(...values, 0);
  const scale = top || 1;
  const xy = points.map(([at, value]) => [
    WIDTH - ((end - at) / span) * WIDTH,
    HEIGHT - 2 - (value / scale) * (HEIGHT - 6),
  ]);
  const line = xy.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const area = `${xy[0][0].toFixed(1)},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`;
  const minutes = Math.max(1, Math.round((end - points[0][0]) / 60));
  const text = `${label}, last ${minutes} min: now ${format(values.at(-1))}, highest ${format(top)}`;
  return html`<figure class="trend">
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${text}>
      ${svg`<polygon points=${area}></polygon><polyline points=${line}></polyline>`}
    </svg>
    <figcaption aria-hidden="true"><span>${label}, last ${minutes} min</span><span>max ${format(top)}</span></figcaption>
  </figure>`;
}
