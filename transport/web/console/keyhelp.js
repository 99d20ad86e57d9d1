// The list of keys of the keyboard.

import { dialog } from "./dialog.js";
import { button, h } from "./dom.js";

const keys = [
  ["1 2 3 4 5", "keys, topics, sessions, server, delete by pattern"],
  ["/", "go to the filter or the first field of the page"],
  ["↑ ↓ PageUp PageDown Home End", "move in the tree"],
  ["→ ←", "open a level; close it, or go to the level above"],
  ["Enter", "show the key, or open the level"],
  ["Esc", "leave the key; close a dialog"],
  ["n", "new key"],
  ["p", "pause or resume live values"],
  ["c", "copy as curl, JavaScript or Go"],
  ["Ctrl+S", "save the value"],
  ["?", "this list"],
];

export function showKeys() {
  const box = dialog(
    "Keys of the keyboard",
    h(
      "dl.keys",
      {},
      keys.map(([key, what]) => [
        h(
          "dt",
          {},
          key.split(" ").map((k) => h("kbd", {}, k)),
        ),
        h("dd", {}, what),
      ]),
    ),
    h(
      "div.bar.end",
      {},
      button("Close", () => box.close(), { className: "primary", autofocus: true }),
    ),
  );
}
