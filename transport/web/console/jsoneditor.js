// A field for a JSON value, which is checked while it is typed.

import { h, Part, put } from "./dom.js";
import { check } from "./json.js";
import { hiddenCharacters } from "./quote.js";

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
    this.warning = h("p.hint.no", {});
    this.append(this.area, this.note, this.warning);
    this.area.addEventListener(
      "input",
      () => {
        this.#text = this.area.value;
        this.#check();
        this.tell("edit");
      },
      { signal },
    );
    this.area.addEventListener(
      "keydown",
      (e) => {
        if ((e.ctrlKey || e.metaKey) && (e.key === "s" || e.key === "Enter")) {
          e.preventDefault();
          this.tell("save");
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
