// The tree of keys as a list of rows. Only levels that are open are loaded, in pages.

import { Level } from "./level.js";
import { isPattern } from "./pattern.js";

const pageBytes = 512 << 10; // aim of the size of a page
const maxRows = 400_000; // browsers cannot scroll through more

// Levels load levels of keys, and flatten the open ones into rows.
export class Levels {
  #list;
  #changed;
  #limit = 100; // of the next page
  #abort = new AbortController();

  // list lists keys, as Calls.list does. changed is called with the old rows when the rows
  // have changed.
  constructor(list, changed) {
    this.#list = list;
    this.#changed = changed;
    this.rows = []; // Row, or at the end of a level { level, depth } with isMore or isEnd
    this.roots = [];
  }

  // show shows levels of keys, each by the query of a listing. With a delimiter it is a tree.
  show(queries) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.roots = queries.map((query) => new Level(query, null));
    this.#flatten();
    return Promise.all(this.roots.map((root) => this.loadMore(root)));
  }

  stop() {
    this.#abort.abort();
  }

  // open opens the level of a row.
  open(row) {
    if (!row.isLevel || row.isOpen) return;
    row.below ??= new Level({ prefix: row.name + "/", delimiter: "/" }, row);
    row.below.open = true;
    this.#flatten();
    return row.below.pages.length === 0 ? this.loadMore(row.below) : this.refresh(row.below, 0, 0);
  }

  // close closes the level of a row. A long level is forgotten.
  close(row) {
    if (!row.isOpen) return;
    row.below.open = false;
    if (row.below.pages.length > 1) row.below = null;
    this.#flatten();
  }

  // loadMore loads the next page of a level.
  loadMore(level) {
    return this.#load(level, level.pages.length, level.pages.length);
  }

  // refresh loads pages of a level again.
  refresh(level, from, to) {
    return this.#load(level, from, to);
  }

  #load(level, from, to) {
    level.loading ??= this.#replace(level, from, to, this.#abort.signal);
    return level.loading;
  }

  async #replace(level, from, to, signal) {
    const answers = [];
    try {
      let after = level.pages[from]?.after ?? level.next;
      for (let i = from; i <= to && (i === from || after !== ""); i++) {
        const limit = level.pages[i]?.limit ?? this.#limit;
        const answer = await this.#list({ ...level.query, after, limit }, signal);
        answers.push({ ...answer, after, limit, next: answer.next ?? "" });
        after = answer.next ?? "";
      }
      level.replace(from, to, answers);
      this.#adapt(answers[0]);
      level.error = null;
    } catch (err) {
      level.error = err;
    }
    level.loading = null;
    if (!signal.aborted) this.#flatten();
  }

  // #adapt chooses the length of the next page by the size of the values.
  #adapt({ items, next }) {
    if (next === "") return;
    const bytes = items.reduce((sum, item) => sum + item.value.length, 0) / Math.max(1, items.length);
    this.#limit = Math.min(1000, Math.max(20, Math.floor(pageBytes / (bytes + 64))));
  }

  // #flatten makes the rows of all open levels.
  #flatten() {
    const rows = [];
    const add = (level) => {
      for (const page of level.pages) {
        for (const row of page.rows) {
          rows.push(row);
          if (row.isOpen) add(row.below);
        }
      }
      if (level.isComplete && !level.error) return;
      const isEnd = rows.length >= maxRows && !level.error;
      rows.push({ level, depth: level.depth, isMore: !isEnd, isEnd });
    };
    for (const root of this.roots) add(root);
    const old = this.rows;
    this.rows = rows;
    this.#changed(old);
  }
}

// filterQuery returns the listing of the text of a filter: a pattern or a prefix.
export function filterQuery(text) {
  return isPattern(text) ? { pattern: text } : { prefix: text };
}

// rootsOf returns the listings that show all that a token may read.
export function rootsOf(rights) {
  if (rights.mayList("")) return [{ prefix: "", delimiter: "/" }];
  const exact = rights.read.filter(
    (p) => !rights.read.some((q) => q !== p && q.endsWith("#") && p.startsWith(q.slice(0, -1))),
  );
  return exact.map((p) => {
    const levels = p.replace(/\/#$/, "");
    return isPattern(levels) ? { pattern: p } : { prefix: levels, pattern: p, delimiter: "/" };
  });
}
