// The time to live of a key.

import { button, h, Part, put } from "./dom.js";

// A TimeToLive counts down, and sets another time to live.
export class TimeToLive extends Part {
  #ends = null; // of performance.now, null if the key is permanent
  #exists = false;
  #taken = 0; // when set took over an expiry

  // lack says why the time to live cannot be set, or is "". clear makes the key permanent,
  // and reload reads it again when its time is over.
  constructor(server, key, { lack, clear, reload }) {
    super();
    Object.assign(this, { server, key, lack, clear, reload });
  }

  start(signal) {
    this.text = h("span.left", { role: "timer" });
    this.field = h("input", {
      type: "number",
      min: 0.001,
      step: "any",
      placeholder: "seconds",
      "aria-label": "Time to live in seconds",
    });
    this.note = h("span.problem.wrong", { role: "status" });
    this.setButton = h("button", { type: "submit", title: this.lack }, "Set");
    this.clearButton = button("Keep for ever", () => this.clear(), { title: this.lack });
    this.append(
      h(
        "form.bar",
        {
          onsubmit: (e) => {
            e.preventDefault();
            this.#touch();
          },
        },
        h("h3", {}, "Time to live"),
        this.text,
        this.field,
        this.setButton,
        this.clearButton,
        this.note,
      ),
    );
    const timer = setInterval(() => this.#draw(), 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
    this.#draw();
  }

  // set takes over the expiry of an entry. since is when it was asked for: an answer that is older
  // than what is known changes nothing. A version cannot say that, because a touch keeps it.
  set(entry, since = performance.now()) {
    if (since < this.#taken) return;
    this.#taken = performance.now();
    this.#exists = entry.version !== 0;
    this.#ends = entry.expires_in === undefined ? null : performance.now() + entry.expires_in * 1000;
    this.isOver = false;
    this.#draw();
  }

  // left is the time to live that is left, in seconds; undefined: the key is permanent.
  get left() {
    return this.#ends === null ? undefined : Math.max(0.001, (this.#ends - performance.now()) / 1000);
  }

  #draw() {
    if (!this.text) return;
    const { left } = this;
    put(this.text, !this.#exists ? "–" : left === undefined ? "permanent" : `expires in ${duration(left)}`);
    this.field.disabled = this.setButton.disabled = this.lack !== "" || !this.#exists;
    this.clearButton.disabled = this.lack !== "" || !this.#exists || left === undefined;
    if (left !== undefined && left <= 0.001 && !this.isOver) {
      this.isOver = true;
      setTimeout(() => this.reload(), 300);
    }
  }

  async #touch() {
    const seconds = Number(this.field.value);
    if (!(seconds > 0)) {
      put(this.note, "type a number of seconds above 0");
      return;
    }
    try {
      await this.server.calls.touch(this.key, seconds);
      this.field.value = "";
      put(this.note);
      this.set({ version: 1, expires_in: seconds });
    } catch (err) {
      put(this.note, err.message);
    }
  }
}

// duration shows seconds in the two largest units.
export function duration(seconds) {
  const s = Math.ceil(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

customElements.define("time-to-live", TimeToLive);
