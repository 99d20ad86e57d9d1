// DocumentKeys are the keys of one document on the server:
//
//   documents/{name}/updates/{id}          a Yjs update in base64, never changed
//   documents/{name}/snapshot              {"id","parts"}: the manifest of the snapshot
//   documents/{name}/snapshot/{id}/{part}  a piece of the snapshot in base64
//
// The document is the snapshot and all updates, merged in any order.

import { fromBase64, toBase64 } from "lib0/buffer";
import * as Y from "yjs";

const PATIENCE = 3_000; // ms until an incomplete snapshot is an error
const SMALLEST = 1_000; // characters of a value

export class DocumentKeys {
  #client;
  #doc;
  #maxValue;
  #changed;
  #fail;
  #updates; // prefix of the keys of updates
  #snapshot; // key of the manifest
  #view;
  #link = AbortSignal.abort(); // of the time in which isReady stays true
  #cut = () => {}; // aborts it
  #applied = new Map(); // updates that the document has: key → version
  #snapshotID; // of the newest snapshot that the document has
  #incomplete; // a timer

  // changed is called after each change, and fail with each error that lasts.
  constructor(client, root, doc, { maxValue, changed, fail }) {
    this.#client = client;
    this.#doc = doc;
    this.#maxValue = maxValue;
    this.#changed = changed;
    this.#fail = fail;
    this.#updates = `${root}/updates/`;
    this.#snapshot = `${root}/snapshot`;
    this.#view = client.view(`${root}/#`);
    this.#view.subscribe(this.#take);
  }

  /** Takes the keys that the view has already, and returns a promise that the document has loaded once. */
  load() {
    this.#take([...this.#view.snapshot().values()]); // another view may have it
    return this.#view.ready;
  }

  /** Says that the document has everything that the server has. */
  get isReady() {
    return !this.#link.aborted;
  }

  /** The number of updates. */
  get count() {
    return this.#applied.size;
  }

  close() {
    this.#view.close();
    this.#cut();
    clearTimeout(this.#incomplete);
  }

  // take is also called when the view becomes stale or current.
  #take = (changes) => {
    this.#doc.transact(() => {
      for (const { key, value, version, deleted } of changes) {
        if (!key.startsWith(this.#updates)) continue;
        if (deleted) this.#applied.delete(key);
        else if (this.#apply(key, value)) this.#applied.set(key, version);
      }
      if (changes.some(({ key }) => key.startsWith(this.#snapshot))) this.#takeSnapshot();
    }, this);
    this.#check();
    this.#changed();
  };

  #apply(key, value) {
    try {
      Y.applyUpdate(this.#doc, fromBase64(value), this);
      return true;
    } catch (error) {
      this.#fail(new Error(`the key ${key} does not hold a Yjs update in base64, and is left out: delete it (${error.message})`));
    }
  }

  #takeSnapshot() {
    const text = this.#isComplete ? undefined : this.#snapshotText();
    if (text && this.#apply(this.#snapshot, text)) this.#snapshotID = this.#manifest.value.id;
  }

  get #manifest() {
    return this.#view.get(this.#snapshot);
  }

  // The manifest is written after its parts, but may arrive before them.
  get #isComplete() {
    return !this.#manifest || this.#manifest.value?.id === this.#snapshotID;
  }

  // snapshotText joins the parts of the snapshot. It is undefined if one is missing.
  #snapshotText() {
    const { id, parts } = this.#manifest?.value ?? {};
    let text = "";
    for (let i = 0; i < parts; i++) {
      const part = this.#view.get(`${this.#snapshot}/${id}/${i}`);
      if (!part) return;
      text += part.value;
    }
    return text || undefined;
  }

  #check() {
    clearTimeout(this.#incomplete);
    const isFresh = !this.#view.stale;
    if (isFresh && !this.#isComplete) {
      this.#incomplete = setTimeout(() => this.#fail(new Error(
        `the snapshot that the key ${this.#snapshot} names is not complete: delete the key, and open pages write their document again`)), PATIENCE);
    }
    const isReady = isFresh && this.#isComplete;
    if (isReady === this.isReady) return;
    this.#cut();
    if (!isReady) return;
    const link = new AbortController();
    this.#link = link.signal;
    this.#cut = () => link.abort(new DOMException("the connection was lost", "AbortError"));
  }

  /** Returns an update with the edits that the server lacks, or undefined if it lacks none. */
  lacking() {
    const stored = new Y.Doc();
    for (const key of this.#applied.keys()) Y.applyUpdate(stored, fromBase64(this.#view.get(key).value));
    if (this.#manifest) Y.applyUpdate(stored, fromBase64(this.#snapshotText()));
    // State vectors do not show deletions, snapshots do.
    if (Y.equalSnapshots(Y.snapshot(stored), Y.snapshot(this.#doc))) return;
    return Y.encodeStateAsUpdate(this.#doc, Y.encodeStateVector(stored));
  }

  /** Writes an update. If it is too long for a value, it becomes part of a snapshot. */
  async write(update) {
    const text = toBase64(update);
    if (text.length > this.#maxValue) return this.compact();
    await this.#smaller(this.#client.push(this.#updates, text));
  }

  /**
   * Replaces everything by a snapshot of the document. It loses nothing if it is cut off, nor
   * if several clients do it at once:
   *
   * - The manifest is written only if it is still the one that this document has.
   * - Nothing is deleted before that, and nothing that came after the beginning.
   * - The manifest is not written if the connection was lost since the beginning: the server might
   *   have restarted, and have forgotten the parts.
   * - Parts that are left over are deleted by the next snapshot.
   */
  async compact() {
    const signal = this.#link;
    const ifVersion = this.#manifest?.version ?? 0;
    const old = [...this.#applied];
    for (const [key, { version }] of this.#view.snapshot()) if (key.startsWith(this.#snapshot + "/")) old.push([key, version]);
    const id = `${this.#doc.clientID}-${Date.now()}`;
    const text = toBase64(Y.encodeStateAsUpdate(this.#doc));
    const parts = [];
    for (let at = 0; at < text.length; at += this.#maxValue) parts.push(text.slice(at, at + this.#maxValue));
    const written = parts.map((part, i) => this.#client.set(`${this.#snapshot}/${id}/${i}`, part, { ifVersion: 0 }));
    await this.#smaller(Promise.all(written));
    await this.#client.set(this.#snapshot, { id, parts: parts.length }, { ifVersion, signal });
    await Promise.allSettled(old.map(([key, version]) => this.#client.delete(key, { ifVersion: version })));
  }

  // smaller makes the next values smaller if the server refuses one of this length.
  async #smaller(writing) {
    try {
      return await writing;
    } catch (error) {
      if (error.code !== "too_large") throw error;
      if (this.#maxValue < SMALLEST) throw new Error(`the server takes no value of ${SMALLEST} characters: set --max-value-bytes higher`);
      this.#maxValue = Math.floor(this.#maxValue / 2);
      throw error;
    }
  }
}
