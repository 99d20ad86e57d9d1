// Topics: publish, follow, and the list of topics that have subscribers.

import { operatorHint } from "./calls.js";
import { button, every, h, name, Part, put } from "./dom.js";
import { JSONEditor } from "./jsoneditor.js";
import { checkName } from "./pattern.js";
import { Tail } from "./tail.js";

// A TopicsPage dispatches "go" with a topic or pattern to follow, and "copy" with a
// selection.
export class TopicsPage extends Part {
  constructor(server) {
    super();
    this.server = server;
    this.tail = new Tail(server);
  }

  start(signal) {
    this.signal = signal;
    this.topic = h("input", {
      type: "text",
      placeholder: "topic",
      spellcheck: false,
      autocomplete: "off",
      "aria-label": "Topic to publish to",
      oninput: () => this.#paint(),
    });
    this.editor = new JSONEditor("Message, as JSON");
    this.editor.addEventListener("edit", () => this.#paint());
    this.editor.addEventListener("save", () => this.#publish());
    this.button = h("button.primary", { type: "submit" }, "Publish");
    this.note = h("p.problem", { role: "status" });
    this.topics = h("div.topics");
    this.tail.addEventListener("target", (e) => this.tell("go", e.detail));
    this.tail.addEventListener("copy", (e) => this.#copy(e.detail));
    this.append(
      h(
        "section.panel",
        {},
        h("h2", {}, "Publish"),
        h(
          "form",
          {
            onsubmit: (e) => {
              e.preventDefault();
              this.#publish();
            },
          },
          h(
            "div.bar",
            {},
            this.topic,
            this.button,
            button("Copy as…", () => this.#copy(this.topic.value)),
          ),
          this.editor,
        ),
        this.note,
      ),
      h("section.panel", {}, this.tail),
      h("section.panel", {}, h("h2", {}, "Topics with subscribers"), this.topics),
    );
    this.#paint();
    every(5000, signal, () => this.#list());
  }

  show(target) {
    if (target !== this.tail.target) this.tail.follow(target);
  }

  #paint() {
    const topic = this.topic.value;
    const wrong = topic === "" ? "" : checkName(topic) || this.server.rights.lack("publish", topic);
    put(this.note, wrong);
    this.note.classList.add("wrong");
    this.button.disabled = topic === "" || wrong !== "" || this.editor.problem !== null;
    this.button.title = wrong;
  }

  async #publish() {
    if (this.button.disabled) return;
    this.button.disabled = true;
    let text = "published",
      failed = false;
    try {
      await this.server.calls.publish(this.topic.value, this.editor.text);
    } catch (err) {
      text = err.message;
      failed = true;
    }
    this.#paint();
    put(this.note, text);
    this.note.classList.toggle("wrong", failed);
  }

  #copy(topic) {
    this.dispatchEvent(
      new CustomEvent("copy", {
        detail: { topic: topic || "chat", value: this.editor.problem ? "null" : this.editor.text },
      }),
    );
  }

  async #list() {
    if (!this.server.rights.mayOperate) {
      put(this.topics, h("p.lack", {}, operatorHint("forbidden")));
      return 60_000;
    }
    try {
      const { items, next } = await this.server.calls.topics({ limit: 200 }, this.signal);
      put(
        this.topics,
        items.length === 0 ? h("p.hint", {}, "No topic has a subscriber. Subscribers of patterns do not count.") : null,
        h(
          "ul",
          {},
          items.map((t) =>
            h(
              "li",
              {},
              button(name(t.topic), () => this.tell("go", t.topic), { className: "link" }),
              h(
                "span.count",
                {},
                `${t.subscribers.toLocaleString("en")} ${t.subscribers === 1 ? "subscriber" : "subscribers"}`,
              ),
            ),
          ),
        ),
        next ? h("p.hint", {}, "There are more topics: this list has the first 200.") : null,
      );
    } catch (err) {
      if (this.signal.aborted) return;
      put(this.topics, h("p.lack", {}, operatorHint(err.code) || err.message));
      if (operatorHint(err.code)) return 60_000;
    }
  }
}

customElements.define("topics-page", TopicsPage);
