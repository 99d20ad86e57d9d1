// A small line chart without axes.

import { h } from "./dom.js";

const width = 240;
const height = 40;
const edge = 2;

// sparkline draws numbers from left to right. A number that is not finite leaves a gap. If
// from0 is true, the chart begins at 0.
export function sparkline(numbers, { label, from0 = false } = {}) {
  const finite = numbers.filter(Number.isFinite);
  const low = from0 ? Math.min(0, ...finite) : Math.min(...finite);
  const high = Math.max(...finite);
  const x = (i) => edge + (i * (width - 2 * edge)) / Math.max(1, numbers.length - 1);
  const y = (n) =>
    high === low
      ? height / (from0 && high === 0 ? 1 : 2) - (from0 && high === 0 ? edge : 0)
      : height - edge - ((n - low) / (high - low)) * (height - 2 * edge);
  let path = "";
  let isGap = true;
  for (const [i, n] of numbers.entries()) {
    if (Number.isFinite(n)) path += `${isGap ? "M" : "L"}${x(i).toFixed(1)} ${y(n).toFixed(1)}`;
    isGap = !Number.isFinite(n);
  }
  const last = numbers.length - 1;
  return h(
    "svg.sparkline",
    { viewBox: `0 0 ${width} ${height}`, role: "img", preserveAspectRatio: "none", "aria-label": label ?? "chart" },
    h("path", { d: path, fill: "none", "vector-effect": "non-scaling-stroke" }),
    Number.isFinite(numbers[last]) &&
      h("path.last", { d: `M${x(last)} ${y(numbers[last])}h0`, "vector-effect": "non-scaling-stroke" }),
  );
}
