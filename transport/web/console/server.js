// The server that the console shows: the token, the calls, and the client for live values.

import { connect } from "../rtdb.js";
import { Calls, base } from "./calls.js";
import { parse, stringify } from "./json.js";
import { Rights } from "./token.js";

// renewalTime is how long before its end a token is to be renewed, in milliseconds.
const renewalTime = 40_000;

// A Server dispatches these events: "access" if another token is in force, "state" if the
// state of the connection changes, "refused" with a message if the server wants another token,
// and "expiring" if the token is about to end.
export class Server extends EventTarget {
  #token = null;
  #renewal = null; // while the client waits for a new token
  client = null;
  calls = new Calls(
    () => this.#token?.text ?? "",
    (message) => this.#refuse(message),
  );

  get token() {
    return this.#token;
  }
  get rights() {
    return this.#token?.rights ?? new Rights(null);
  }
  get state() {
    return this.client?.state ?? "closed";
  }

  // open connects the client with a token, or with null for none. A new token of the same
  // subject takes the place of one that is about to end, without a new connection.
  open(token) {
    const renewal = this.#renewal;
    this.#renewal = null;
    if (renewal && token && token.subject === this.#token.subject && this.state !== "closed") {
      this.#token = token;
      renewal.resolve(token.text);
      this.dispatchEvent(new Event("access"));
      return;
    }
    renewal?.reject(new Error("another token is in force"));
    this.client?.close().catch(() => {}); // the end is not awaited
    this.#token = token;
    const client = connect(base.href, { token: token ? () => this.#provide() : undefined, parse, stringify });
    this.client = client;
    client.addEventListener("statechange", () => {
      if (client === this.client) this.dispatchEvent(new Event("state"));
    });
    client.addEventListener("error", (e) => {
      const error = e.error ?? e.detail ?? e;
      if (client === this.client && error.code === "unauthorized") this.#refuse(error.message);
    });
    this.dispatchEvent(new CustomEvent("access", { detail: { reconnected: true } }));
  }

  #refuse(message) {
    this.dispatchEvent(new CustomEvent("refused", { detail: message }));
  }

  // #provide returns the token, or waits for a new one if it is about to end.
  #provide() {
    if (this.#token.expires - Date.now() > renewalTime) return this.#token.text;
    if (!this.#renewal) {
      let settle;
      const promise = new Promise((resolve, reject) => {
        settle = { resolve, reject };
      });
      promise.catch(() => {}); // the client may have given up
      this.#renewal = { promise, ...settle };
      this.dispatchEvent(new Event("expiring"));
    }
    return this.#renewal.promise;
  }
}
