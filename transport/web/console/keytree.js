// The tree of keys, with live values of the rows that are visible.

import { button, every, h, painter, Part, put } from "./dom.js";
import { FilterField } from "./filterfield.js";
import { filterQuery, Levels, rootsOf } from "./levels.js";
import { LiveValues } from "./livevalues.js";
import { isPattern } from "./pattern.js";
import { fillRow, flash, makeRow } from "./treerow.js";
import "./virtuallist.js";

const refreshMillis = 3000;

// A KeyTree dispatches "choose" with the name of a key, "filter" with the text of the
// filter, "copy" with a selection, and "make" for a new key.
export class KeyTree extends Part {
  constructor(server) {
    super();
    this.server = server;
    this.filterText = "";
    this.isPaused = false;
  }

  start(signal) {
    this.signal = signal;
    this.paint = painter(() => this.#paint(), signal);
    this.levels = new Levels(
      (query, s) => this.server.calls.list(query, s),
      (old) => this.#rowsChanged(old),
    );
    this.live = new LiveValues(this.server, this.paint);
    this.#build(signal);
    this.#load();
    every(refreshMillis, signal, () => this.#refresh());
    this.server.addEventListener("state", () => this.#stateChanged(), { signal });
    this.server.addEventListener(
      "access",
      (e) => {
        if (!e.detail?.reconnected) return;
        this.live.reset();
        this.#load();
      },
      { signal },
    );
    signal.addEventListener("abort", () => {
      this.levels.stop();
      this.live.close();
    });
  }

  #build(signal) {
    this.filter = new FilterField(this.filterText, () => this.list.focus());
    this.pauseButton = h(
      "button.pause",
      {
        type: "button",
        "aria-pressed": "false",
        title: "Hold the values that are shown (p)",
        onclick: () => this.pause(),
      },
      "Pause",
    );
    this.summary = h("span.summary", { role: "status" });
    this.badge = h("span.badge.stale", { hidden: true, role: "status" });
    this.list = document.createElement("virtual-list");
    this.list.configure({
      label: "Keys",
      columns: 3,
      make: makeRow,
      fill: (node, i) => fillRow(node, this.levels.rows[i]),
      seen: (first, end) => this.#seen(first, end),
      act: (e, i) => this.#act(e, this.levels.rows[i], i),
    });
    this.list.addEventListener("click", (e) => this.#click(e), { signal });
    this.append(
      h(
        "div.bar",
        {},
        this.filter,
        this.pauseButton,
        button("New key", () => this.tell("make"), { title: "Make a new key (n)" }),
        button("Copy as…", () => this.copy(), { title: "Copy code for the current row or the filter (c)" }),
      ),
      h("div.bar.notes", {}, this.summary, this.badge),
      this.list,
    );
  }

  // setFilter shows other keys: those with a prefix, or those that match a pattern.
  setFilter(text) {
    if (text === this.filterText) return;
    this.filterText = text;
    if (!this.filter) return;
    this.filter.text = text;
    this.#load();
  }

  #load() {
    if (!this.filter.check()) return;
    this.list.scrollTop = 0;
    this.list.current = 0;
    this.levels.show(this.filterText === "" ? rootsOf(this.server.rights) : [filterQuery(this.filterText)]);
  }

  pause() {
    this.isPaused = !this.isPaused;
    this.pauseButton.setAttribute("aria-pressed", String(this.isPaused));
    put(this.pauseButton, this.isPaused ? "Resume" : "Pause");
    this.paint();
    if (!this.isPaused) this.#refresh();
  }

  // #refresh loads the visible pages again. It returns how long to wait until the next time:
  // the longer a load takes, the rarer it is made.
  async #refresh() {
    if (this.isPaused || !this.list) return;
    const start = performance.now();
    const pages = new Map(); // by level
    for (const row of this.levels.rows.slice(...this.list.range)) {
      if (!row.page && !row.level.error) continue;
      const i = row.page ? row.level.pages.indexOf(row.page) : row.level.pages.length; // the end of a level failed
      const [from, to] = pages.get(row.level) ?? [i, i];
      pages.set(row.level, [Math.min(from, i), Math.max(to, i)]);
    }
    // A tree without rows has no visible page.
    for (const root of this.levels.roots) {
      if (root.rows.size === 0 && !root.loading) pages.set(root, [0, 0]);
    }
    for (const [level, [from, to]] of pages) await this.levels.refresh(level, from, to);
    return Math.max(refreshMillis, 20 * (performance.now() - start));
  }

  // #rowsChanged shows other rows. The current row and the first visible one keep
  // their places on the screen.
  #rowsChanged(old) {
    const { rows } = this.levels;
    const shift = (index) => {
      if (!old[index] || rows[index] === old[index]) return 0;
      const now = rows.indexOf(old[index]);
      return now < 0 ? 0 : now - index;
    };
    this.list.resize(rows.length, shift(this.list.current), shift(this.list.first));
    this.#note();
  }

  #note() {
    const sums = this.levels.roots.map((root) => root.keys);
    const keys = sums.reduce((sum, s) => sum + s.keys, 0);
    const more = sums.some((s) => s.more);
    const isLoading = this.levels.roots.some((r) => r.pages.length === 0 && !r.error);
    const count = `${keys.toLocaleString("en")}${more ? "+" : ""} ${keys === 1 && !more ? "key" : "keys"}`;
    put(this.summary, isLoading ? "loading…" : count);
    const trouble = this.#trouble();
    this.badge.hidden = trouble === "";
    put(this.badge, trouble);
    this.classList.toggle("is-stale", trouble !== "");
  }

  // #trouble says why the rows may be old, or returns "".
  #trouble() {
    if (this.isPaused) return "paused";
    if (this.live.error) return `values are not live: ${this.live.error.message}`;
    const failed = this.levels.roots.find((r) => r.error && r.pages.length > 0);
    if (failed) return `stale: ${failed.error.message}`;
    return this.live.isStale || this.server.state !== "open" ? "stale: not connected" : "";
  }

  // #paint takes over the live values of the visible rows.
  #paint() {
    this.#note();
    if (this.isPaused) return;
    const [first, end] = this.list.range;
    for (let i = first; i < end; i++) {
      const row = this.levels.rows[i];
      if (!row?.isKey || !this.#takeLive(row)) continue;
      const node = this.list.element(i);
      if (!node) continue;
      fillRow(node, row);
      flash(node.querySelector(".value"));
    }
  }

  // #stateChanged forgets the versions of the rows after a new connection: it may lead to a
  // server that has restarted with an empty state, whose versions are lower.
  #stateChanged() {
    if (this.server.state === "open") for (const row of this.levels.rows) row.version = 0;
    this.paint();
  }

  // #takeLive takes over the live value of a row, and reports whether it has changed.
  #takeLive(row) {
    const entry = this.live.get(row.name);
    if (entry === null) {
      if (row.isGone) return false;
      row.isGone = true;
      return true;
    }
    if (!entry || (entry.version <= row.version && !row.isGone)) return false;
    const { version, value, isGone } = row;
    row.take(entry);
    return version !== 0 || isGone || row.value !== value;
  }

  #seen(first, end) {
    const rows = this.levels.rows.slice(first, end);
    this.live.want(rows.filter((r) => r.isKey && this.server.rights.may("read", r.name)).map((r) => r.name));
    for (const row of rows) {
      if (row.isMore && !row.level.loading && !row.level.error) queueMicrotask(() => this.levels.loadMore(row.level));
    }
    this.paint?.();
  }

  #toggle(row) {
    row.isOpen ? this.levels.close(row) : this.levels.open(row);
  }

  #choose(row) {
    if (row.isKey) this.tell("choose", row.name);
    else if (row.isLevel) this.#toggle(row);
    else if (row.isMore) this.#retry(row);
  }

  #retry(row) {
    row.level.error = null;
    this.levels.loadMore(row.level);
  }

  #click(e) {
    const node = e.target.closest("[role=row]");
    if (!node) return;
    const index = Number(node.getAttribute("aria-rowindex")) - 1;
    const row = this.levels.rows[index];
    this.list.go(index);
    if (e.target.closest(".twisty") && row.isLevel) this.#toggle(row);
    else this.#choose(row);
  }

  #act(e, row, index) {
    if (!row) return false;
    switch (e.key) {
      case "Enter":
      case " ":
        this.#choose(row);
        return true;
      case "ArrowRight":
        if (row.isLevel && !row.isOpen) this.levels.open(row);
        else if (row.isOpen) this.list.go(index + 1);
        return true;
      case "ArrowLeft":
        if (row.isOpen) this.levels.close(row);
        else if (row.level.parent) this.list.go(this.levels.rows.indexOf(row.level.parent));
        return true;
    }
    return false;
  }

  // mark makes the row of a key the current one, if the key is listed.
  mark(key) {
    const index = this.levels.rows.findIndex((row) => row.name === key);
    if (index >= 0) this.list.go(index);
  }

  // copy asks for code about the current row, or the filter.
  async copy() {
    const row = this.levels.rows[this.list.current];
    let selection = { pattern: isPattern(this.filterText) ? this.filterText : "#" };
    if (row?.isKey) selection = { key: row.name, value: await this.#wholeValue(row) };
    else if (row?.isLevel) selection = { pattern: `${row.name}/#` };
    this.tell("copy", selection);
  }

  // #wholeValue returns the value of a row's key, of which the row has only the beginning.
  async #wholeValue(row) {
    try {
      return (await this.server.calls.read(row.name, this.signal))?.value ?? "null";
    } catch {
      return "null"; // it cannot be read, but the code that reads it is still useful
    }
  }
}

customElements.define("key-tree", KeyTree);
