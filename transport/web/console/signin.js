// Signing in with a token, and the rights of the token.

import { button, h, name, Part, put } from "./dom.js";
import { duration } from "./timetolive.js";
import { Token } from "./token.js";

// A SignIn is a form for a token. It dispatches "token" with a Token, or with null if the
// user goes on without one.
export class SignIn extends Part {
  constructor(server, reason) {
    super();
    this.server = server;
    this.reason = reason;
  }

  start() {
    this.field = h("input", {
      type: "password",
      autocomplete: "off",
      spellcheck: false,
      "aria-label": "Token",
      placeholder: "eyJ…",
      required: true,
    });
    this.note = h("p.problem.wrong", { role: "alert" });
    this.append(
      h(
        "form.panel",
        {
          onsubmit: (e) => {
            e.preventDefault();
            this.#submit();
          },
        },
        h("h2", {}, "Sign in"),
        this.reason ? h("p", {}, this.reason) : null,
        h(
          "p.hint",
          {},
          "Paste a token, for example from ",
          h("code", {}, "rtdb token --read '#' --write '#' --ttl 1h"),
          ". It stays in the memory of this page: closing or reloading the page forgets it.",
        ),
        this.field,
        this.note,
        h(
          "div.bar",
          {},
          h("button.primary", { type: "submit" }, "Sign in"),
          button("Go on without a token", () => this.tell("token", null)),
        ),
      ),
    );
    this.field.focus();
  }

  #submit() {
    let token;
    try {
      token = new Token(this.field.value);
      if (token.expired)
        throw new Error(`this token expired ${duration((Date.now() - token.expires) / 1000)} ago: make a new one`);
    } catch (err) {
      put(this.note, err.message);
      return;
    }
    this.field.value = "";
    this.tell("token", token);
  }
}

const kinds = [
  ["read", "read keys"],
  ["write", "write keys"],
  ["listen", "listen to topics"],
  ["publish", "publish to topics"],
];

// showRights lists the rights of a token, and those that it lacks.
export function showRights(token) {
  const { rights } = token;
  const left = Number.isFinite(token.expires)
    ? duration(Math.max(0, (token.expires - Date.now()) / 1000))
    : "an unknown time";
  return h(
    "dl.rights",
    {},
    token.subject ? [h("dt", {}, "subject"), h("dd", {}, name(token.subject))] : null,
    h("dt", {}, "expires in"),
    h("dd", {}, left),
    kinds.map(([kind, label]) => [
      h("dt", {}, label),
      rights[kind].length > 0
        ? h(
            "dd",
            {},
            rights[kind].slice(0, 50).map((p) => h("code", {}, name(p))),
          )
        : h("dd.no", {}, "no"),
    ]),
    h("dt", {}, "operator's calls"),
    rights.admin ? h("dd", {}, "yes") : h("dd.no", {}, "no"),
  );
}

customElements.define("sign-in", SignIn);
