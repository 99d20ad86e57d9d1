// Dialogs.

import { button, h } from "./dom.js";

// dialog shows content in a dialog until it is closed. It returns the dialog.
export function dialog(title, ...content) {
  const before = document.activeElement;
  const box = h(
    "dialog",
    {
      "aria-label": title,
      onclose: () => {
        box.remove();
        before?.focus?.();
      },
    },
    h("h2", {}, title),
    ...content,
  );
  document.body.append(box);
  box.showModal();
  return box;
}

// ask asks a question. It resolves to true if the user agrees.
export function ask({ title, text, action, isDangerous = false }) {
  return new Promise((resolve) => {
    let isSure = false;
    const box = dialog(
      title,
      h("div.text", {}, text),
      h(
        "div.bar.end",
        {},
        button("Cancel", () => box.close(), { autofocus: true }),
        h(
          isDangerous ? "button.danger" : "button.primary",
          {
            type: "button",
            onclick: () => {
              isSure = true;
              box.close();
            },
          },
          action,
        ),
      ),
    );
    box.addEventListener("close", () => resolve(isSure));
  });
}
