// The messages of a topic, or of the topics that match a pattern, as they come.

import { clock } from "./changelist.js";
import { button, h, name, painter, Part, put } from "./dom.js";
import { checkName, checkPattern, isPattern } from "./pattern.js";

const maxMessages = 500;

// A Tail dispatches "target" with the topic or pattern that it follows, "" for none.
export class Tail extends Part {
  #messages = []; // { topic, value, at } or { missed }, the newest last
  #dropped = 0; // while it was paused
  #iterator = null;

  constructor(server) {
    super();
    this.server = server;
    this.target = "";
    this.isPaused = false;
  }

  start(signal) {
    this.signal = signal;
    this.paint = painter(() => this.#paint(), signal);
    this.field = h("input", {
      type: "text",
      value: this.target,
      placeholder: "topic, or pattern such as chat/#",
      spellcheck: false,
      autocomplete: "off",
      "aria-label": "Topic, or pattern of topics, to follow",
    });
    this.startButton = h("button.primary", { type: "submit" }, "Follow");
    this.pauseButton = button("Pause", () => this.pause(), { "aria-pressed": "false" });
    this.note = h("p.problem", { role: "status" });
    this.badge = h(
      "span.badge.stale",
      { hidden: true },
      "stale: not connected; messages that are sent meanwhile are lost",
    );
    this.rows = h("ol.messages", { tabIndex: 0, "aria-label": "messages, the newest first" });
    this.append(
      h("h2", {}, "Follow"),
      h(
        "form.bar",
        {
          onsubmit: (e) => {
            e.preventDefault();
            this.tell("target", this.field.value);
          },
        },
        this.field,
        this.startButton,
        this.pauseButton,
        button("Stop", () => this.tell("target", "")),
        button("Clear", () => this.clear()),
        button("Copy as…", () => this.tell("copy", this.field.value)),
      ),
      this.note,
      this.badge,
      this.rows,
    );
    this.server.addEventListener("state", this.paint, { signal });
    this.server.addEventListener(
      "access",
      (e) => {
        if (e.detail?.reconnected) this.follow(this.target);
      },
      { signal },
    );
    signal.addEventListener("abort", () => this.#stop());
    this.follow(this.target);
  }

  // follow follows other topics, none if target is "".
  async follow(target) {
    this.target = target;
    if (!this.rows) return;
    this.#stop();
    if (this.field.value !== target) this.field.value = target;
    const wrong = target === "" ? "" : isPattern(target) ? checkPattern(target) : checkName(target);
    const lack =
      target === ""
        ? ""
        : isPattern(target)
          ? this.server.rights.lackAll("listen", target)
          : this.server.rights.lack("listen", target);
    put(this.note, wrong || lack || (target === "" ? "not following" : ["following ", name(target)]));
    this.note.classList.toggle("wrong", wrong !== "" || lack !== "");
    this.paint();
    if (target === "" || wrong || lack || !this.server.client) return;
    const iterator = (this.#iterator = this.server.client.topic(target)[Symbol.asyncIterator]());
    try {
      for (;;) {
        const { value: message, done } = await iterator.next();
        if (done || iterator !== this.#iterator) return;
        this.#take(message);
      }
    } catch (err) {
      if (iterator !== this.#iterator) return;
      put(this.note, err.message);
      this.note.classList.add("wrong");
    }
  }

  #stop() {
    const iterator = this.#iterator;
    this.#iterator = null;
    iterator?.return?.().catch(() => {}); // the end is not awaited
  }

  #take(message) {
    this.#messages.push({ ...message, time: Date.now() });
    if (this.#messages.length > maxMessages) {
      this.#messages.shift();
      if (this.isPaused) this.#dropped++;
    }
    this.paint();
  }

  pause() {
    this.isPaused = !this.isPaused;
    this.pausedAt = this.#messages.at(-1);
    this.#dropped = 0;
    this.pauseButton.setAttribute("aria-pressed", String(this.isPaused));
    this.paint();
  }

  clear() {
    this.#messages = [];
    this.#dropped = 0;
    put(this.rows);
    this.paint();
  }

  #paint() {
    this.badge.hidden = this.target === "" || this.server.state === "open";
    const waiting = this.#messages.length - 1 - this.#messages.indexOf(this.pausedAt);
    put(this.pauseButton, !this.isPaused ? "Pause" : `Resume (${waiting}${this.#dropped > 0 ? "+" : ""} new)`);
    if (this.isPaused) return;
    for (const m of this.#messages) m.row ??= makeRow(m);
    put(this.rows, this.#messages.map((m) => m.row).reverse());
  }
}

function makeRow({ topic, value, missed, time }) {
  if (missed === undefined) return h("li", {}, h("time", {}, clock(time)), name(topic), name(value, "json"));
  const lost = `${missed === true ? "some" : missed} messages were missed`;
  return h("li.missed", {}, h("time", {}, clock(time)), h("span", {}, lost));
}

customElements.define("topic-tail", Tail);
