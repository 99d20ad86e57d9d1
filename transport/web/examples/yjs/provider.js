// A provider that keeps a Yjs document on an rtdb server. To use it in another project, copy
// provider.js, keys.js and presence.js. README.md explains how they work.

import * as Y from "yjs";
import { DocumentKeys } from "./keys.js";
import { Presence } from "./presence.js";

const SPREAD = 10; // the most batches that a client waits before it does work that other clients may do, too
const RETRY = 3_000; // ms between two attempts of a write that the server refuses

// Errors that pass: the connection was lost, another client was first, a value must be smaller.
const PASSING = ["offline", "unknown_outcome", "version_mismatch", "too_large", "closed"];

/**
 * Keeps a document equal to its copy on the server.
 *
 * - `loaded` is a promise that the document has loaded. It rejects if the server refuses it.
 * - `state` is "loading" until then, "offline" while the document may lack edits of other
 *   clients, "saving" while edits wait to be written, and otherwise "saved".
 * - `isSaved` says, also while offline, whether the server has all edits of this document.
 * - The event "change" comes if `state` or `isSaved` has changed. The event "error" has an
 *   `error`: the server refuses a write, or a key has a value that is not part of a document.
 *
 * Options:
 * - `awareness`: the Awareness of y-protocols that is shared with the other clients
 * - `batch`: ms in which edits are collected to one write (50)
 * - `compactAt`: a document with more updates than this is compacted (100)
 * - `maxValue`: the longest value in characters (60,000)
 */
export class RtdbProvider extends EventTarget {
  #doc;
  #keys;
  #presence;
  #batch;
  #compactAt;
  #unsent = []; // edits since the last write
  #mustCompare = true; // it is not known which edits the server lacks
  #writing; // a promise while a write is under way
  #hasLoaded = false;
  #wasReady = false;
  #writeTimer;
  #compactTimer;
  #reported;

  constructor(client, name, doc, { awareness, batch = 50, compactAt = 100, maxValue = 60_000 } = {}) {
    super();
    this.#doc = doc;
    this.#batch = batch;
    this.#compactAt = compactAt;
    const root = `documents/${encodeURIComponent(name)}`;
    this.loaded = new Promise((resolve, reject) => {
      this.#keys = new DocumentKeys(client, root, doc, {
        maxValue,
        changed: () => this.#changed(resolve),
        fail: this.#fail,
      });
      this.#keys.load().catch(reject);
    });
    this.loaded.catch(this.#fail);
    doc.on("update", this.#edited);
    if (awareness) this.#presence = new Presence(client, `${root}/awareness`, awareness, this.#fail);
  }

  get isSaved() {
    return !this.#mustCompare && !this.#unsent.length && !this.#writing;
  }

  get state() {
    if (!this.#hasLoaded) return "loading";
    if (!this.#keys.isReady) return "offline";
    return this.isSaved ? "saved" : "saving";
  }

  /** Writes the unsaved edits, if there is a connection, and then leaves the document. */
  async destroy() {
    this.#doc.off("update", this.#edited);
    await this.#writing;
    await this.#flush();
    clearTimeout(this.#writeTimer);
    clearTimeout(this.#compactTimer);
    this.#keys.close();
    await this.#presence?.destroy();
  }

  #edited = (update, origin) => {
    if (origin === this.#keys) return;
    if (this.#keys.isReady) this.#unsent.push(update);
    else this.#mustCompare = true; // the comparison finds the edit in the document
    this.#schedule(this.#batch);
    this.#report();
  };

  #changed(loaded) {
    const { isReady } = this.#keys;
    if (isReady && !this.#wasReady) {
      this.#hasLoaded = true;
      loaded();
      this.#mustCompare = true; // each side may lack edits of the other
      this.#schedule(this.#randomWait());
    }
    this.#wasReady = isReady;
    this.#report();
  }

  #randomWait() {
    return Math.random() * SPREAD * this.#batch;
  }

  #schedule(ms) {
    this.#writeTimer ??= setTimeout(() => {
      this.#writeTimer = undefined;
      this.#flush();
    }, ms);
  }

  // flush begins a write. It does nothing while another one is under way, or without a connection:
  // the end of both schedules a write.
  #flush() {
    if (this.#writing || this.isSaved || !this.#keys.isReady) return this.#writing;
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
      if (!this.isSaved) this.#schedule(this.#batch);
      this.#report();
    });
    return this.#writing;
  }

  // write sends the edits that the server lacks. An update does no harm if Yjs gets it twice, so
  // a write whose outcome is unknown is made again.
  async #write() {
    try {
      const update = this.#mustCompare ? this.#keys.lacking() : Y.mergeUpdates(this.#unsent);
      this.#mustCompare = false;
      this.#unsent = [];
      if (update) await this.#keys.write(update);
      if (update && this.#keys.count > this.#compactAt) this.#compactTimer ??= setTimeout(this.#compact, this.#randomWait());
    } catch (error) {
      this.#mustCompare = true;
      this.#schedule(this.#failWrite(error) ? RETRY : this.#randomWait());
    }
  }

  #compact = () => {
    this.#compactTimer = undefined;
    if (this.#keys.count <= this.#compactAt || !this.#keys.isReady) return; // another client was first
    this.#keys.compact().catch(this.#failWrite);
  };

  // failWrite reports an error that does not pass, and returns whether it is one.
  #failWrite = (error) => {
    if (PASSING.includes(error.code) || error.name === "AbortError") return false;
    this.#fail(error);
    return true;
  };

  #fail = (error) => {
    this.dispatchEvent(Object.assign(new Event("error"), { error }));
  };

  #report() {
    const now = `${this.state} ${this.isSaved}`;
    if (now === this.#reported) return;
    this.#reported = now;
    this.dispatchEvent(new Event("change"));
  }
}
