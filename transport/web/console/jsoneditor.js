// A field for a JSON value, which is checked while it is typed.

import { h, Part, put } from "./dom.js";
import { check } from "./json.js";

const hidden = /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u;

// hiddenCharacters names the characters of a text that are not visible, or that turn the
// direction of writing. It returns "" if there are none.
export function hiddenCharacters(text) {
  const found = new Set(
    [...text]
      .filter((c) => hidden.test(c))
      .map((c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")),
  );
  return [...found].slice(0, 8).join(", ");
}

let editors = 0;

// A JSONEditor dispatches "edit" when its text changes by the user, and "save" at Ctrl+S and
// Ctrl+Enter.
export class JSONEditor extends Part {
  #text = "";
  #problem = null;

  constructor(label) {
    super();
    this.label = label;
  }

  start(signal) {
    const id = `problem-${editors++}`;
    this.area = h("textarea.code", {
      spellcheck: false,
      autocomplete: "off",
      autocapitalize: "off",
      wrap: "off",
      rows: 4,
      "aria-label": this.label,
      "aria-describedby": id,
      value: this.#text,
      disabled: this.isDisabled,
    });
    this.note = h("p.problem", { id, role: "status" });
    this.warning = h("p.hint", {});
    this.append(this.area, this.note, this.warning);
    this.area.addEventListener(
      "input",
      () => {
        this.#text = this.area.value;
        this.#check();
        this.dispatchEvent(new Event("edit"));
      },
      { signal },
    );
    this.area.addEventListener(
      "keydown",
      (e) => {
        if ((e.ctrlKey || e.metaKey) && (e.key === "s" || e.key === "Enter")) {
          e.preventDefault();
          this.dispatchEvent(new Event("save"));
        }
      },
      { signal },
    );
    this.#check();
  }

  get text() {
    return this.#text;
  }
  set text(text) {
    this.#text = text;
    if (!this.area) return;
    if (this.area.value !== text) this.area.value = text;
    this.#check();
  }

  get problem() {
    return this.#problem;
  }

  set disabled(is) {
    this.isDisabled = is;
    if (this.area) this.area.disabled = is;
  }

  #check() {
    this.#problem = check(this.#text);
    const p = this.#problem;
    this.area.rows = Math.max(3, Math.min(24, this.#text.split("\n", 24).length + 1));
    const isEmpty = this.#text === "";
    put(
      this.note,
      p === null ? "valid JSON" : isEmpty ? "type a JSON value" : `line ${p.line}, column ${p.column}: ${p.message}`,
    );
    this.note.classList.toggle("wrong", p !== null && !isEmpty);
    this.area.setAttribute("aria-invalid", String(p !== null && !isEmpty));
    const found = hiddenCharacters(this.#text);
    put(this.warning, found === "" ? null : `This text has hidden characters (${found}): it may not read as it looks.`);
  }
}

customElements.define("json-editor", JSONEditor);
