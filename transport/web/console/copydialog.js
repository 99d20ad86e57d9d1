// The dialog that shows code for the selection.

import { dialog } from "./dialog.js";
import { button, h, put } from "./dom.js";
import { actionsOf, languageNames, snippet } from "./snippets.js";

let lastLanguage = languageNames[0];

// showCode shows code for a selection, as snippets.js defines it.
export function showCode(selection, hasToken) {
  const actions = actionsOf(selection);
  let action = actions[0];
  const code = h("pre.code", { tabIndex: 0 });
  const note = h("span.problem", { role: "status" });
  const draw = () => put(code, snippet(lastLanguage, action, selection, hasToken)) && put(note);
  const choice = (label, names, chosen, choose) =>
    h(
      "fieldset.choice",
      {},
      h("legend", {}, label),
      names.map((n) =>
        h(
          "label",
          {},
          h("input", {
            type: "radio",
            name: label,
            value: n,
            checked: n === chosen,
            onchange: () => {
              choose(n);
              draw();
            },
          }),
          n,
        ),
      ),
    );
  const box = dialog(
    "Copy as",
    choice("language", languageNames, lastLanguage, (n) => {
      lastLanguage = n;
    }),
    choice("action", actions, action, (n) => {
      action = n;
    }),
    code,
    hasToken
      ? h(
          "p.hint",
          {},
          "The code does not have your token: curl and Go read it from the variable RTDB_TOKEN, and JavaScript has a place for it.",
        )
      : null,
    h(
      "div.bar.end",
      {},
      note,
      button("Close", () => box.close()),
      button("Copy", async () => put(note, await copyText(code, box)), { className: "primary" }),
    ),
  );
  draw();
}

// copyText copies the text of an element. A page that was not loaded over HTTPS has no
// navigator.clipboard, so it selects the text and uses the older command.
async function copyText(node, box) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    return "copied";
  } catch {
    /* tried in another way below */
  }
  const area = h("textarea", { value: node.textContent, className: "offscreen" });
  box.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (isCopied) return "copied";
  getSelection().selectAllChildren(node);
  return "the browser does not allow it: press Ctrl+C";
}
