// The rows of the tree of keys.

import { h, name, put } from "./dom.js";
import { hiddenCharacters } from "./quote.js";

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const deepest = 10; // the last depth that is shown by indentation

// makeRow makes an element for rows.
export function makeRow() {
  return h(
    "div.row",
    { role: "row" },
    h("div.cell.label", { role: "gridcell" }),
    h("div.cell.count", { role: "gridcell" }),
    h("div.cell.value", { role: "gridcell" }),
  );
}

// flash marks a change for a moment.
export function flash(node) {
  node.animate([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], {
    duration: 900,
    easing: reducedMotion.matches ? "steps(1, end)" : "ease-out",
  });
}

// fillRow shows a row of Levels in an element.
export function fillRow(node, row) {
  const [nameCell, count, value] = node.children;
  node.style.setProperty("--depth", Math.min(row.depth, deepest));
  node.setAttribute("aria-level", row.depth + 1);
  node.classList.toggle("gone", row.isGone === true);
  node.classList.toggle("is-key", row.isKey === true);
  node.removeAttribute("aria-expanded");
  if (row.isMore || row.isEnd) {
    const error = row.level.error;
    put(
      nameCell,
      error
        ? `cannot list: ${error.message}`
        : row.isEnd
          ? "more rows than a browser can show: use the filter"
          : "loading more…",
    );
    put(count);
    put(value);
    return;
  }
  const hidden = hiddenCharacters(row.label);
  if (row.isLevel) node.setAttribute("aria-expanded", String(row.isOpen));
  put(
    nameCell,
    h("span.twisty", { "aria-hidden": "true" }, row.isLevel ? (row.isOpen ? "▾" : "▸") : ""),
    row.depth > deepest ? h("span.depth", { title: "level" }, String(row.depth + 1)) : null,
    name(row.label),
    hidden === "" ? null : h("span.no", { title: `hidden characters: ${hidden}` }, " ⚠"),
  );
  put(count, row.isLevel ? `${row.keys.toLocaleString("en")}${row.more ? "+" : ""}` : "");
  put(value, row.isKey ? name(row.value, "json") : "");
}
