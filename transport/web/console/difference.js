// The difference of two texts, by lines.

import { cut, h } from "./dom.js";

const maxEdits = 800; // beyond it, the texts have little in common
const context = 3; // lines around each change
const maxShown = 400; // lines

// difference returns the lines of two texts as { kind, text }: " " for a common line, "-"
// for a line of the first text only, and "+" for a line of the second only.
export function difference(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const same = (lines) => lines.map((text) => ({ kind: " ", text }));
  return [
    ...same(a.slice(0, start)),
    ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...same(a.slice(a.length - end)),
  ];
}

// middle finds the shortest list of edits (E. Myers, "An O(ND) Difference Algorithm", 1986).
function middle(a, b) {
  const replaced = [...a.map((text) => ({ kind: "-", text })), ...b.map((text) => ({ kind: "+", text }))];
  if (a.length === 0 || b.length === 0) return replaced;
  const furthest = new Map([[1, 0]]); // of each diagonal, the position in a
  const steps = [];
  for (let edits = 0; edits <= Math.min(maxEdits, a.length + b.length); edits++) {
    steps.push(new Map(furthest));
    for (let d = -edits; d <= edits; d += 2) {
      const down = d === -edits || (d !== edits && furthest.get(d - 1) < furthest.get(d + 1));
      let x = down ? furthest.get(d + 1) : furthest.get(d - 1) + 1;
      while (x < a.length && x - d < b.length && a[x] === b[x - d]) x++;
      furthest.set(d, x);
      if (x >= a.length && x - d >= b.length) return trace(a, b, steps, d);
    }
  }
  return replaced;
}

// trace walks back from the end over the steps.
function trace(a, b, steps, diagonal) {
  const lines = [];
  let x = a.length;
  let d = diagonal;
  for (let edits = steps.length - 1; edits >= 0; edits--) {
    const furthest = steps[edits];
    const down = d === -edits || (d !== edits && furthest.get(d - 1) < furthest.get(d + 1));
    const previous = down ? d + 1 : d - 1;
    const from = edits === 0 ? 0 : furthest.get(previous);
    const start = edits === 0 ? 0 : down ? from : from + 1;
    while (x > start) lines.push({ kind: " ", text: a[--x] });
    if (edits === 0) break;
    lines.push(down ? { kind: "+", text: b[from - previous] } : { kind: "-", text: a[from] });
    x = from;
    d = previous;
  }
  return lines.reverse();
}

// showDifference shows the changed lines, with a few lines around them.
export function showDifference(before, after) {
  const lines = difference(before, after);
  const near = new Set();
  for (const [i, line] of lines.entries()) {
    if (line.kind === " ") continue;
    for (let j = Math.max(0, i - context); j <= Math.min(lines.length - 1, i + context); j++) near.add(j);
  }
  const shown = [];
  let last = -1;
  for (const i of near) {
    if (shown.length === maxShown) {
      shown.push(h("div.gap", {}, `… ${near.size - maxShown} more lines`));
      break;
    }
    if (i > last + 1) shown.push(h("div.gap", {}, `… ${i - last - 1} equal lines`));
    const { kind, text } = lines[i];
    const label = { "-": "removed", "+": "added" }[kind];
    shown.push(
      h(
        `div.line${label ? "." + label : ""}`,
        {},
        h("span.sign", { "aria-label": label ?? "equal" }, kind),
        h("bdi", {}, cut(text)),
      ),
    );
    last = i;
  }
  return h(
    "div.difference",
    { tabIndex: 0, role: "group", "aria-label": "difference" },
    shown.length > 0 ? shown : h("div.gap", {}, "no difference but white space"),
  );
}
