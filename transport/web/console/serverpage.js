// The server: charts of its metrics.

import { operatorHint } from "./calls.js";
import { every, h, name, Part, put } from "./dom.js";
import { byLabel, quantile, readMetrics, total } from "./metrics.js";
import { sparkline } from "./sparkline.js";

const interval = 2000; // ms
const points = 150; // 5 minutes

const perSecond = (name) => (now, before, seconds) =>
  before ? (total(now, name) - total(before, name)) / seconds : NaN;

// charts compute one number from two reads of the metrics and the seconds between them.
const charts = [
  { title: "Writes", unit: perSecondText, of: perSecond("rtdb_writes_total") },
  { title: "Deliveries", unit: perSecondText, of: perSecond("rtdb_deliveries_total") },
  { title: "Sessions", unit: countText, of: (now) => total(now, "rtdb_sessions") },
  { title: "Memory", unit: bytesText, of: (now) => total(now, "process_resident_memory_bytes") },
  {
    title: "Write to socket, p99",
    unit: secondsText,
    of: (now, before) => quantile(0.99, "rtdb_write_socket_seconds", before, now),
    hint: "nothing was timed: one send in eight is",
  },
  { title: "Keys", unit: countText, of: (now) => total(now, "rtdb_keys") },
  { title: "Lagging sessions", unit: countText, of: (now) => total(now, "rtdb_lagging_sessions") },
  { title: "Bytes that wait for clients", unit: bytesText, of: (now) => total(now, "rtdb_pending_bytes") },
];

// A ServerPage reads the metrics while it is visible.
export class ServerPage extends Part {
  #before = null; // { metrics, time }

  constructor(server) {
    super();
    this.server = server;
  }

  start(signal) {
    this.signal = signal;
    this.note = h("p.lack", { hidden: true, role: "status" });
    this.cards = charts.map((chart) => {
      const number = h("strong");
      const line = h("div.chart");
      const high = h("span.range");
      return {
        chart,
        number,
        line,
        high,
        numbers: [],
        node: h("section.card", {}, h("h3", {}, chart.title), number, line, high),
      };
    });
    this.grid = h(
      "div.cards",
      {},
      this.cards.map((c) => c.node),
    );
    this.heading = h("h2", {}, "Server");
    this.append(this.heading, this.note, this.grid);
    every(interval, signal, () => this.#read());
  }

  async #read() {
    try {
      const metrics = readMetrics(await this.server.calls.metrics(this.signal));
      if (!metrics.has("rtdb_sessions"))
        throw new Error("the answer to GET /metrics has no metrics of rtdb: look at the proxy in front of the server");
      const [[node] = []] = byLabel(metrics, "rtdb_node_info", "node"); // of several nodes
      put(this.heading, node ? ["Server: node ", name(node)] : "Server");
      this.#draw(metrics);
      this.note.hidden = true;
      this.grid.hidden = false;
      this.grid.classList.remove("is-stale");
    } catch (err) {
      if (this.signal.aborted) return;
      const hint = operatorHint(err.code);
      this.note.hidden = false;
      this.grid.hidden = hint !== "";
      this.grid.classList.add("is-stale");
      put(this.note, hint || `stale: ${err.message}`);
      if (hint) return 30_000;
    }
  }

  #draw(metrics) {
    const time = performance.now();
    const before = this.#before;
    for (const card of this.cards) {
      const { chart, numbers } = card;
      const n = chart.of(metrics, before?.metrics, (time - before?.time) / 1000);
      numbers.push(n);
      if (numbers.length > points) numbers.shift();
      const finite = numbers.filter(Number.isFinite);
      put(card.number, Number.isFinite(n) ? chart.unit(n) : before && chart.hint ? h("small", {}, chart.hint) : "–");
      if (finite.length === 0) continue;
      const high = chart.unit(Math.max(...finite));
      put(
        card.line,
        sparkline(numbers, {
          from0: true,
          label: `${chart.title}: ${chart.unit(finite.at(-1))} last, at most ${high}`,
        }),
      );
      put(card.high, `at most ${high}`);
    }
    this.#before = { metrics, time };
  }
}

function countText(n) {
  return Math.round(n).toLocaleString("en");
}

function perSecondText(n) {
  return `${n >= 100 || n === 0 ? countText(n) : n.toFixed(1)}/s`;
}

// bytesText shows a number of bytes.
export function bytesText(n) {
  if (n < 1024) return `${Math.round(n)} B`;
  if (n < 1 << 20) return `${(n / 1024).toFixed(1)} KiB`;
  return n < 1 << 30 ? `${(n / (1 << 20)).toFixed(1)} MiB` : `${(n / (1 << 30)).toFixed(2)} GiB`;
}

// secondsText shows a duration in seconds.
export function secondsText(s) {
  if (s < 1e-3) return `${(s * 1e6).toFixed(0)} µs`;
  return s < 1 ? `${(s * 1e3).toFixed(1)} ms` : `${s.toFixed(2)} s`;
}

customElements.define("server-page", ServerPage);
