// The keys: the tree, and beside it one key.

import { dialog } from "./dialog.js";
import { button, h, Part, put } from "./dom.js";
import { KeyPage } from "./keypage.js";
import { KeyTree } from "./keytree.js";
import { checkName } from "./pattern.js";

// A KeysPage dispatches "go" with { name, filter }, and "copy" with a selection.
export class KeysPage extends Part {
  #key = null;

  constructor(server) {
    super();
    this.server = server;
    this.tree = new KeyTree(server);
    this.detail = h("div.detail");
    this.tree.addEventListener("choose", (e) => this.#go(e.detail));
    this.tree.addEventListener("filter", (e) => this.tell("go", { name: this.#key ?? "", filter: e.detail }));
    this.tree.addEventListener("make", () => this.make());
    this.tree.addEventListener("copy", (e) => this.#copy(e.detail));
  }

  start() {
    this.append(this.tree, this.detail);
  }

  #go(name) {
    this.tell("go", { name, filter: this.tree.filterText });
  }

  #copy(selection) {
    this.tell("copy", selection);
  }

  // show shows a key, or none if name is "".
  show(name, filter) {
    this.tree.setFilter(filter);
    if (name === this.#key) return;
    this.#key = name;
    this.classList.toggle("has-key", name !== "");
    if (name === "") {
      put(this.detail);
      this.tree.list.focus();
      return;
    }
    const wrong = checkName(name);
    if (wrong !== "") {
      put(
        this.detail,
        h("p.problem.wrong", {}, `The link names no key: ${wrong}`),
        button("Close", () => this.#go("")),
      );
      return;
    }
    const page = new KeyPage(this.server, name);
    page.addEventListener("leave", () => this.leave());
    page.addEventListener("copy", (e) => this.#copy(e.detail));
    put(this.detail, page);
    this.tree.mark(name);
    page.focus();
  }

  get page() {
    return this.detail.querySelector("key-page");
  }

  // isDirty reports whether the user has edited a value that is not saved.
  get isDirty() {
    return this.page?.isDirty === true;
  }

  // leave closes the key.
  leave() {
    if (this.#key) this.#go("");
  }

  copy() {
    this.page ? this.page.copy() : this.tree.copy();
  }

  // make asks for the name of a new key.
  make() {
    const field = h("input", {
      type: "text",
      spellcheck: false,
      autocomplete: "off",
      autofocus: true,
      "aria-label": "Name of the key",
      placeholder: "building/3/temp",
      oninput: () => check(),
    });
    const note = h("p.problem.wrong", { role: "status" });
    const next = h("button.primary", { type: "submit" }, "Next");
    const check = () => {
      const wrong = field.value === "" ? "" : checkName(field.value) || this.server.rights.lack("write", field.value);
      put(note, wrong);
      next.disabled = field.value === "" || wrong !== "";
    };
    const box = dialog(
      "New key",
      h(
        "form",
        {
          onsubmit: (e) => {
            e.preventDefault();
            if (next.disabled) return;
            box.close();
            this.#go(field.value);
          },
        },
        field,
        note,
        h(
          "div.bar.end",
          {},
          button("Cancel", () => box.close()),
          next,
        ),
      ),
    );
    check();
    field.focus();
  }
}

customElements.define("keys-page", KeysPage);
