// One key: its value, its time to live, and its changes.

import { ChangeList } from "./changelist.js";
import { showConflict } from "./conflict.js";
import { ask } from "./dialog.js";
import { button, h, name, painter, Part, put } from "./dom.js";
import { JSONEditor } from "./jsoneditor.js";
import { compact, format } from "./json.js";
import { KeyFeed, versionOf } from "./keyfeed.js";
import { hiddenCharacters } from "./quote.js";
import { TimeToLive } from "./timetolive.js";

// A KeyPage dispatches "copy" with a selection, and "leave".
export class KeyPage extends Part {
  #base = null; // the entry that is edited: { value, version }; version 0: there is no key
  #theirs = null; // an entry of another writer that is newer than base
  #isBusy = false;
  #changing = null; // the change that is being made, or was made last

  constructor(server, key) {
    super();
    this.server = server;
    this.key = key;
  }

  start(signal) {
    this.signal = signal;
    this.paint = painter(() => this.#paint(), signal);
    const { rights } = this.server;
    this.mayRead = rights.may("read", this.key);
    this.mayWrite = rights.may("write", this.key);
    this.#build(rights);
    this.feed = new KeyFeed(this.server, this.key, this.paint);
    this.#load();
    this.feed.follow(this.mayRead);
    this.server.addEventListener("state", () => this.#stateChanged(), { signal });
    this.server.addEventListener(
      "access",
      (e) => {
        if (e.detail?.reconnected) this.feed.follow(this.mayRead);
      },
      { signal },
    );
    signal.addEventListener("abort", () => this.feed.close());
  }

  #build(rights) {
    const locked = { disabled: !this.mayWrite, title: rights.lack("write", this.key) };
    this.meta = h("p.meta");
    this.badge = h("span.badge.stale", { hidden: true, role: "status" });
    this.message = h("div.message", { role: "status" });
    this.editor = new JSONEditor("Value, as JSON");
    this.editor.disabled = this.mayRead || !this.mayWrite; // until the value is there
    this.editor.addEventListener("edit", () => this.#paint());
    this.editor.addEventListener("save", () => this.#save());
    this.saveButton = button("Save", () => this.#save(), {
      className: "primary",
      ...locked,
      title: locked.title || "Ctrl+S",
    });
    this.revertButton = button("Revert", () => this.#show(this.#known), {
      title: "Show the value of the server again",
    });
    this.formatButton = button(
      "Format",
      () => {
        this.editor.text = format(this.editor.text);
        this.#paint();
      },
      { title: "Lay out the JSON on lines" },
    );
    this.deleteButton = button("Delete…", () => this.#delete(), { className: "danger", ...locked });
    this.timeToLive = new TimeToLive(this.server, this.key, {
      lack: locked.title,
      clear: () => this.#clearExpiry(),
      reload: () => this.#load(),
    });
    this.changes = new ChangeList();
    const found = hiddenCharacters(this.key);
    put(
      this,
      h(
        "header",
        {},
        h("h2", { tabIndex: -1 }, name(this.key)),
        button("Copy as…", () => this.copy(), { title: "Copy code for this key (c)" }),
        button("Close", () => this.tell("leave"), { title: "Esc" }),
      ),
      found ? h("p.hint.no", {}, `This name has hidden characters (${found}): it may not read as it looks.`) : null,
      h("div.bar.notes", {}, this.meta, this.badge),
      this.mayRead ? null : h("p.lack", {}, rights.lack("read", this.key)),
      this.mayWrite ? null : h("p.lack", {}, rights.lack("write", this.key)),
      this.editor,
      this.message,
      h("div.bar", {}, this.saveButton, this.revertButton, this.formatButton, this.deleteButton),
      this.timeToLive,
      this.changes,
    );
  }

  focus() {
    this.querySelector("h2").focus();
  }

  // #known is the newest entry that the page knows.
  get #known() {
    return this.#theirs ?? this.#base;
  }

  get isDirty() {
    if (!this.#base) return this.editor.text !== "";
    return this.editor.problem !== null
      ? this.editor.text !== "" || this.#base.version !== 0
      : this.#base.version === 0 || compact(this.editor.text) !== this.#base.value;
  }

  // #stateChanged reads the key after a new connection: it may lead to a server that has
  // restarted with an empty state, whose versions are lower.
  #stateChanged() {
    if (this.server.state === "open") this.#load(true);
    this.paint();
  }

  // #load reads the key. The expiry is known from there alone. isAnew says that the version
  // that is known may mean nothing any more. One that becomes known meanwhile counts.
  async #load(isAnew = false) {
    if (!this.mayRead) return;
    const since = performance.now();
    const known = this.#known;
    try {
      const entry = (await this.server.calls.read(this.key, this.signal)) ?? { value: null, version: 0 };
      this.timeToLive.set(entry, since);
      this.#take(entry, isAnew && this.#known === known);
    } catch (err) {
      if (!this.signal.aborted) this.#say(err.message, "wrong");
    }
  }

  // #refreshExpiry reads the time to live after a change, at most once in a second.
  #refreshExpiry() {
    this.expiryTimer ??= setTimeout(() => {
      this.expiryTimer = undefined;
      if (!this.signal.aborted) this.#load();
    }, 1000);
  }

  // #takeArrived notes the changes that have come, and shows the last one.
  #takeArrived() {
    const entries = this.feed.take();
    for (const entry of entries) this.#note(entry);
    if (entries.length === 0) return;
    this.#take(entries.at(-1));
    this.#refreshExpiry();
  }

  #note(entry) {
    this.changes.add({ version: versionOf(entry), at: entry.at ?? Date.now(), value: entry.value });
  }

  // #take takes over an entry of the server. A text that the user edits stays.
  #take(entry, isAnew = false) {
    const known = this.#known;
    if (known && !isAnew && versionOf(entry) < versionOf(known)) return;
    if (known && versionOf(entry) === versionOf(known) && entry.value === known.value) return;
    this.#note(entry);
    if (entry.value === null) this.timeToLive.set(entry);
    if (this.#base?.value === entry.value) {
      if (this.#theirs) this.#say(""); // it is again as it was
      this.#base = entry;
      this.#theirs = null;
    } else if (!this.#base || !this.isDirty) this.#show(entry);
    else {
      this.#theirs = entry;
      this.conflictShown = false;
    }
    this.paint();
  }

  // #show shows an entry in place of the user's text.
  #show(entry) {
    if (!entry) return;
    this.#base = { ...entry };
    this.#theirs = null;
    this.editor.disabled = !this.mayWrite;
    this.editor.text = entry.value === null ? "" : format(entry.value);
    this.#say("");
    this.#paint();
  }

  #paint() {
    this.#takeArrived();
    const base = this.#base;
    put(this.meta, this.#describe());
    this.badge.hidden = this.feed.trouble === "";
    put(this.badge, this.feed.trouble);
    const isDirty = this.isDirty;
    this.saveButton.disabled = !this.mayWrite || this.#isBusy || this.editor.problem !== null || !isDirty;
    this.revertButton.disabled = !base || !isDirty;
    this.formatButton.disabled = this.editor.problem !== null;
    this.deleteButton.disabled = !this.mayWrite || base?.version === 0;
    if (this.#theirs && !this.conflictShown) this.#warn();
    this.changes.draw();
  }

  #describe() {
    const base = this.#base;
    if (!base) return this.mayRead ? "loading…" : "";
    if (base.version === 0) return "There is no such key. Save a value to make it.";
    return `version ${base.version}${base.at ? `, written ${new Date(base.at).toLocaleString("en-GB")}` : ""}`;
  }

  #say(text, className = "") {
    this.conflictShown = false;
    put(this.message, text === "" ? null : h("p", { className }, text));
  }

  // #warn says that another writer was faster, and shows the difference.
  #warn() {
    this.conflictShown = true;
    const mine = this.editor.problem ? this.editor.text : format(this.editor.text);
    put(
      this.message,
      showConflict(this.#theirs, mine, { overwrite: () => this.#overwrite(), take: () => this.#show(this.#theirs) }),
    );
  }

  async #overwrite() {
    await this.#changing; // it may still be reading what the other writer wrote
    if (this.editor.problem || !this.#theirs) return;
    this.#base = this.#theirs;
    this.#theirs = null;
    return this.#save();
  }

  // #save writes the user's text if the key still has the version that was edited. The key
  // keeps its time to live.
  async #save() {
    if ((this.saveButton.disabled && !this.conflictShown) || this.#isBusy || this.editor.problem) return;
    const text = this.editor.text;
    await this.#change(async () => {
      const written = await this.server.calls.write(this.key, text, {
        version: this.#base?.version,
        ttl: this.timeToLive.left,
      });
      if (!this.mayRead) written.value = compact(text);
      this.#base = written;
      this.#theirs = null;
      this.#note(written);
      this.timeToLive.set(written);
      if (this.editor.text === text) this.editor.text = format(written.value);
      this.#say("saved", "done");
    });
  }

  // #clearExpiry writes the same value without a time to live, because a touch only sets one.
  #clearExpiry() {
    return this.#change(async () => {
      const entry = await this.server.calls.read(this.key);
      if (!entry) throw new Error("the key does not exist any more");
      this.timeToLive.set(await this.server.calls.write(this.key, entry.value, { version: entry.version }));
    });
  }

  async #delete() {
    const isSure = await ask({
      title: "Delete this key?",
      text: [name(this.key)],
      action: "Delete",
      isDangerous: true,
    });
    if (!isSure) return;
    await this.#change(async () => {
      await this.server.calls.remove(this.key, this.#base?.version);
      this.#show({ value: null, version: 0, at: Date.now() });
      this.#say("deleted", "done");
    });
  }

  // #change makes a change, and shows the difference if another writer was faster.
  #change(work) {
    this.#changing = this.#make(work);
    return this.#changing;
  }

  async #make(work) {
    this.#isBusy = true;
    this.#paint();
    try {
      await work();
    } catch (err) {
      if (err.code !== "version_mismatch") this.#say(err.message, "wrong");
      else await this.#conflict(err);
    }
    this.#isBusy = false;
    if (!this.signal.aborted) this.#paint();
  }

  async #conflict(err) {
    if (!this.mayRead) return this.#say(`${err.message}: another writer was faster`, "wrong");
    try {
      const theirs = (await this.server.calls.read(this.key, this.signal)) ?? { value: null, version: 0 };
      this.#theirs = theirs;
      this.#warn();
    } catch (failure) {
      this.#say(failure.message, "wrong");
    }
  }

  copy() {
    const value = this.editor.problem ? (this.#base?.value ?? "null") : compact(this.editor.text);
    this.tell("copy", { key: this.key, value: value ?? "null" });
  }
}

customElements.define("key-page", KeyPage);
