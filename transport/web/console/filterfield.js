// The filter of the tree of keys.

import { h, Part } from "./dom.js";
import { checkPattern, isPattern } from "./pattern.js";

const patience = 250; // ms, after the last character

// A FilterField dispatches "filter" with the text that the user has typed. It bubbles.
export class FilterField extends Part {
  #applied;

  // leave is called when the user goes on to the list.
  constructor(text, leave) {
    super();
    this.#applied = text;
    this.leave = leave;
  }

  start(signal) {
    let timer;
    this.input = h("input.filter", {
      type: "search",
      placeholder: "prefix, or pattern: devices/+/temp",
      spellcheck: false,
      autocomplete: "off",
      "aria-label": "Filter keys by a prefix or a pattern",
      value: this.#applied,
      title: "Press / to come here",
      oninput: () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.#apply(), patience);
      },
      onkeydown: (e) => {
        if (e.key === "Enter") this.#apply();
        if (e.key === "Enter" || e.key === "ArrowDown") this.leave();
      },
    });
    signal.addEventListener("abort", () => clearTimeout(timer));
    this.append(this.input);
  }

  #apply() {
    const text = this.input.value;
    if (text !== this.#applied) this.dispatchEvent(new CustomEvent("filter", { detail: text, bubbles: true }));
  }

  set text(text) {
    this.#applied = text;
    if (this.input.value !== text) this.input.value = text;
  }

  // check tells the user if the text is not valid, and reports whether it is.
  check() {
    this.input.setCustomValidity(isPattern(this.#applied) ? checkPattern(this.#applied) : "");
    return this.input.reportValidity();
  }
}

customElements.define("filter-field", FilterField);
