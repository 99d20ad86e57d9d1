// The changes of one key.

import { maxChanges } from "./changelist.js";

// versionOf returns the version of an entry, and of a key that was deleted the version of the
// delete.
export function versionOf(entry) {
  return entry.gone ?? entry.version;
}

// A KeyFeed follows a key. An entry of it has a value, which is a JSON text, or null if the
// key was deleted, and a version, which is then 0.
export class KeyFeed {
  #server;
  #key;
  #changed;
  #view = null;
  #arrived = [];
  #last = 0; // the version of the last entry
  #error = null;

  // changed is called after each change. It may be called often.
  constructor(server, key, changed) {
    this.#server = server;
    this.#key = key;
    this.#changed = changed;
  }

  // follow follows the key with the server's present client, if the token grants it.
  follow(isGranted) {
    this.close();
    if (!isGranted || !this.#server.client) return;
    const view = this.#server.client.view([this.#key]);
    this.#view = view;
    this.#error = null;
    view.subscribe((changes) => {
      this.#arrived = [...this.#arrived, ...changes.map((c) => this.#entryOf(c))].slice(-maxChanges);
      this.#changed();
    });
    view.ready.catch((err) => {
      if (view !== this.#view) return;
      this.#error = err;
      this.#changed();
    });
  }

  #entryOf({ value, version, at, deleted }) {
    // A delete that the client has missed has no version.
    this.#last = version ?? this.#last + 0.5;
    return deleted ? { value: null, version: 0, at, gone: this.#last } : { value, version, at };
  }

  // take returns the entries that have come since the last call, at most the last 100.
  take() {
    const arrived = this.#arrived;
    this.#arrived = [];
    return arrived;
  }

  // trouble says why the entries may be old, or is "".
  get trouble() {
    if (this.#error) return `the value is not live: ${this.#error.message}`;
    if (this.#view === null) return "";
    return this.#view.stale || this.#server.state !== "open" ? "stale: not connected" : "";
  }

  close() {
    this.#view?.close();
    this.#view = null;
  }
}
