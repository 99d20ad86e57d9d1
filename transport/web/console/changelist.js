// The last changes of a key since its page was opened.

import { h, name, Part, put } from "./dom.js";
import { sparkline } from "./sparkline.js";

// maxChanges is how many changes are kept.
export const maxChanges = 100;

// A ChangeList shows changes, the newest first, and a chart of those that are numbers.
export class ChangeList extends Part {
  #changes = [];

  start() {
    this.chart = h("div.chart");
    this.rows = h("ol.changes", { tabIndex: 0, "aria-label": "changes since this page was opened, the newest first" });
    this.heading = h("h3", {});
    this.append(this.heading, this.chart, this.rows);
    this.draw();
  }

  // add notes a change: a version, when it was written, and a value as JSON text, null if
  // the key was deleted. It keeps the newest changes.
  add(change) {
    const at = this.#changes.findIndex((c) => c.version <= change.version);
    if (this.#changes[at]?.version === change.version) return;
    this.#changes.splice(at < 0 ? this.#changes.length : at, 0, change);
    this.#changes.length = Math.min(this.#changes.length, maxChanges);
  }

  draw() {
    const all = this.#changes;
    put(
      this.heading,
      all.length <= 1
        ? "No change since this page was opened"
        : `Last ${all.length - 1} ${all.length === 2 ? "change" : "changes"} since this page was opened`,
    );
    const numbers = all.map((c) => (c.value === null ? NaN : numberOf(c.value))).reverse();
    const finite = numbers.filter(Number.isFinite);
    put(
      this.chart,
      finite.length > 1
        ? [
            sparkline(numbers, {
              label: `the last ${finite.length} numbers, from ${Math.min(...finite)} to ${Math.max(...finite)}`,
            }),
            h("span.range", {}, `${Math.min(...finite)} … ${Math.max(...finite)}`),
          ]
        : null,
    );
    put(
      this.rows,
      all.map((c) =>
        h("li", {}, h("time", {}, clock(c.at)), c.value === null ? h("em", {}, "deleted") : name(c.value, "json")),
      ),
    );
  }
}

// numberOf returns the number that a JSON text is, NaN if it is not a number.
function numberOf(text) {
  return /^-?[0-9]/.test(text) ? Number(text) : NaN;
}

// clock shows a Unix time in milliseconds as the time of the day.
export function clock(ms) {
  if (!Number.isFinite(ms)) return "";
  const d = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

customElements.define("change-list", ChangeList);
