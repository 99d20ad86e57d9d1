// Deleting keys by a pattern.

import { ask } from "./dialog.js";
import { button, h, name, Part, put } from "./dom.js";
import { checkPattern } from "./pattern.js";

const samples = 10; // names that are shown

// A DeletePage counts the keys that match a pattern, and deletes them. It dispatches "copy"
// with a selection.
export class DeletePage extends Part {
  #work = null; // the AbortController of the count or the delete that is under way
  #count = null; // { pattern, keys }

  constructor(server) {
    super();
    this.server = server;
  }

  start(signal) {
    this.field = h("input", {
      type: "text",
      placeholder: "pattern, such as devices/+/old or sessions/#",
      spellcheck: false,
      autocomplete: "off",
      "aria-label": "Pattern of the keys to delete",
      oninput: () => this.#changed(),
    });
    this.countButton = h("button.primary", { type: "submit" }, "Count");
    this.deleteButton = button("Delete…", () => this.#delete(), { className: "danger", disabled: true });
    this.cancelButton = button("Cancel", () => this.#work?.abort(), { hidden: true });
    this.note = h("p.problem", { role: "status" });
    this.bar = h("progress", { hidden: true, "aria-label": "progress" });
    this.examples = h("ul.examples");
    this.append(
      h(
        "section.panel",
        {},
        h("h2", {}, "Delete by pattern"),
        h("p.hint", {}, "Each key is deleted on its own, and its subscribers are told. A delete cannot be undone."),
        h(
          "form.bar",
          {
            onsubmit: (e) => {
              e.preventDefault();
              this.#countKeys();
            },
          },
          this.field,
          this.countButton,
          this.deleteButton,
          this.cancelButton,
          h(
            "button",
            {
              type: "button",
              onclick: () => this.tell("copy", { pattern: this.field.value || "#", isDelete: true }),
            },
            "Copy as…",
          ),
        ),
        this.note,
        this.bar,
        this.examples,
      ),
    );
    signal.addEventListener("abort", () => this.#work?.abort());
    this.#changed();
  }

  show(pattern) {
    if (pattern === "" || pattern === this.field.value) return;
    this.#work?.abort();
    this.field.value = pattern;
    this.#changed();
  }

  #changed() {
    const pattern = this.field.value;
    const { rights } = this.server;
    const wrong = pattern === "" ? "" : checkPattern(pattern);
    const lack = pattern === "" || wrong ? "" : rights.lackAll("write", pattern);
    this.#count = null;
    this.countButton.disabled = pattern === "" || wrong !== "" || this.#work !== null;
    this.deleteButton.disabled = true;
    put(this.deleteButton, "Delete…");
    this.deleteButton.title = lack;
    this.#say(wrong || lack, true);
    put(this.examples);
  }

  #say(text, isWrong = false) {
    put(this.note, text);
    this.note.classList.toggle("wrong", isWrong);
  }

  // #run runs work that can be canceled.
  async #run(work) {
    const { signal } = (this.#work = new AbortController());
    this.countButton.disabled = this.deleteButton.disabled = this.field.disabled = true;
    this.cancelButton.hidden = this.bar.hidden = false;
    this.bar.removeAttribute("value");
    try {
      await work(signal);
    } catch (err) {
      this.#say(signal.aborted ? `canceled: ${this.note.textContent}` : err.message, !signal.aborted);
    }
    this.#work = null;
    this.cancelButton.hidden = this.bar.hidden = true;
    this.countButton.disabled = this.field.disabled = false;
  }

  #countKeys() {
    const pattern = this.field.value;
    if (this.countButton.disabled) return;
    return this.#run(async (signal) => {
      const found = [];
      let keys = 0;
      const add = (n, names) => {
        keys += n;
        found.push(...names.slice(0, Math.max(0, samples + 1 - found.length)));
        this.#say(`${keys.toLocaleString("en")} keys so far`);
      };
      await this.#countBelow(pattern, literalPrefix(pattern), signal, add);
      this.#count = { pattern, keys };
      const { rights } = this.server;
      this.deleteButton.disabled = keys === 0 || !rights.mayAll("write", pattern);
      put(this.deleteButton, keys === 0 ? "Delete…" : `Delete ${number(keys)}…`);
      this.#say(
        `${number(keys)} ${keys === 1 ? "matches" : "match"}. ${rights.lackAll("write", pattern)}`,
        rights.lackAll("write", pattern) !== "",
      );
      put(
        this.examples,
        found.slice(0, samples).map((k) => h("li", {}, name(k))),
        found.length > samples ? h("li", {}, "and others") : null,
      );
      if (!this.deleteButton.disabled) this.deleteButton.focus();
    });
  }

  // #countBelow counts the keys that match a pattern below a prefix. The server sums up the
  // keys of a level up to 10,000. Those of a larger level are counted level by level.
  async #countBelow(pattern, prefix, signal, add) {
    for (let after = ""; ;) {
      const page = await this.server.calls.list({ prefix, pattern, delimiter: "/", limit: 1000, after }, signal);
      add(
        page.items.length,
        page.items.map((i) => i.key),
      );
      for (const level of page.prefixes ?? []) {
        if (level.more) await this.#countBelow(pattern, level.prefix, signal, add);
        else add(level.keys, [`${level.prefix}… (${number(level.keys)})`]);
      }
      if (!page.next) return;
      after = page.next;
    }
  }

  async #delete() {
    const { pattern, keys } = this.#count;
    const isSure = await ask({
      title: `Delete ${number(keys)}?`,
      isDangerous: true,
      action: `Delete ${number(keys)}`,
      text: [
        h("p", {}, `${number(keys)} ${keys === 1 ? "matches" : "match"} the pattern `, name(pattern), "."),
        h("p", {}, "Keys that match by the time of the delete are deleted too."),
      ],
    });
    if (!isSure) return;
    await this.#run(async (signal) => {
      let deleted = 0;
      this.bar.max = keys;
      for (let after = ""; ;) {
        const done = await this.server.calls.removeAll(pattern, after, signal);
        deleted += done.deleted;
        this.bar.value = Math.min(deleted, keys);
        this.#say(`${number(deleted)} deleted`);
        if (!done.next) break;
        after = done.next;
      }
    });
    this.#count = null;
    put(this.deleteButton, "Delete…");
    put(this.examples);
  }
}

// literalPrefix returns the levels of a pattern before its first wildcard. "a/#" matches "a"
// too.
function literalPrefix(pattern) {
  const at = pattern.search(/[+#]/);
  if (at < 0) return pattern;
  return pattern[at] === "#" ? pattern.slice(0, Math.max(0, at - 1)) : pattern.slice(0, at);
}

function number(keys) {
  return `${keys.toLocaleString("en")} ${keys === 1 ? "key" : "keys"}`;
}

customElements.define("delete-page", DeletePage);
