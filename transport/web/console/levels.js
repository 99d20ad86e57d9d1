// The tree of keys as a list of rows. Only levels that are open are loaded, in pages.

import { cut } from "./dom.js";
import { isPattern } from "./pattern.js";

const pageBytes = 512 << 10; // aim of the size of a page
const maxRows = 400_000; // browsers cannot scroll through more

// A Row is a key, a level of keys, or both: "a" may be a key while "a/b" is another.
class Row {
  constructor(level, name) {
    this.level = level;
    this.name = name; // the key, and the prefix without its last slash
    this.value = undefined; // the beginning of the value's JSON text; undefined: there is no key
    this.version = 0;
    this.keys = 0; // below the level
    this.more = false; // there are more
    this.below = null; // the Level that is open or was, else null
  }
  get isKey() {
    return this.value !== undefined;
  }
  get isLevel() {
    return this.keys > 0;
  }
  get isOpen() {
    return this.below !== null && this.below.open;
  }
  get depth() {
    return this.level.depth;
  }
  get label() {
    return this.depth === 0 ? this.name : this.name.slice(this.level.prefix.length);
  }

  // take takes over a newer value.
  take(entry) {
    this.value = preview(entry.value);
    this.version = entry.version;
  }
}

// A Level is a list of rows that is loaded page by page.
class Level {
  open = true;
  pages = []; // { after, limit, next, rows }
  rows = new Map(); // by name
  loading = null;
  error = null;
  seen = 0; // when it was last loaded, of performance.now

  constructor(prefix, depth, query, parent) {
    Object.assign(this, { prefix, depth, query, parent });
  }
  get isComplete() {
    return this.pages.length > 0 && !this.pages.at(-1).next;
  }
  get next() {
    return this.pages.at(-1)?.next ?? "";
  }
}

// Levels load levels of keys, and flatten the open ones into rows.
export class Levels {
  #list;
  #changed;
  #limit = 100;

  // list lists keys, as Calls.list does. changed is called when the rows have changed.
  constructor(list, changed) {
    this.#list = list;
    this.#changed = changed;
    this.rows = []; // Row, or { level, isMore: true } at the end of a level that is not complete
    this.roots = [];
  }

  // show shows levels of keys. Each root has a prefix, a pattern, or both as a query of a
  // listing. A delimiter makes it a tree.
  show(roots) {
    this.#abort?.abort();
    this.#abort = new AbortController();
    this.roots = roots.map((query) => new Level(query.prefix ?? "", 0, query, null));
    this.#flatten();
    return Promise.all(this.roots.map((root) => this.loadMore(root)));
  }
  #abort = null;

  stop() {
    this.#abort?.abort();
  }

  // open opens the level of a row.
  open(row) {
    if (!row.isLevel || row.isOpen) return;
    if (row.below) row.below.open = true;
    else row.below = new Level(row.name + "/", row.depth + 1, { prefix: row.name + "/", delimiter: "/" }, row);
    this.#flatten();
    return row.below.pages.length === 0
      ? this.loadMore(row.below)
      : this.refresh(row.below, 0, row.below.pages.length - 1);
  }

  close(row) {
    if (!row.isOpen) return;
    row.below.open = false;
    this.#flatten();
  }

  // loadMore loads the next page of a level.
  loadMore(level) {
    return this.#load(level, async (signal) => {
      const page = await this.#page(level, level.next, this.#limit, signal);
      level.pages.push(page);
    });
  }

  // refresh loads pages of a level again. The pages behind them stay if they still fit.
  refresh(level, from, to) {
    return this.#load(level, async (signal) => {
      const fresh = [];
      let after = level.pages[from]?.after ?? "";
      for (let i = from; i <= to && (i === from || after !== ""); i++) {
        const page = await this.#page(level, after, level.pages[i]?.limit ?? this.#limit, signal);
        fresh.push(page);
        after = page.next;
      }
      const rest = after !== "" && level.pages[to]?.next === after ? level.pages.slice(to + 1) : [];
      level.pages = [...level.pages.slice(0, from), ...fresh, ...rest];
    });
  }

  async #load(level, work) {
    if (level.loading) return level.loading;
    const signal = this.#abort.signal;
    level.loading = work(signal).then(
      () => {
        level.error = null;
        level.seen = performance.now();
        this.#merge(level);
      },
      (err) => {
        if (!signal.aborted) level.error = err;
      },
    );
    await level.loading;
    level.loading = null;
    if (!signal.aborted) this.#flatten();
  }

  async #page(level, after, limit, signal) {
    const answer = await this.#list({ ...level.query, after, limit }, signal);
    const rows = new Map();
    const row = (name) => {
      const r = rows.get(name) ?? new Row(level, name);
      rows.set(name, r);
      return r;
    };
    let bytes = 0;
    for (const item of answer.items) {
      bytes += item.value.length;
      Object.assign(row(item.key), { value: preview(item.value), version: item.version });
    }
    for (const p of answer.prefixes ?? [])
      Object.assign(row(p.prefix.slice(0, -1)), { keys: p.keys, more: p.more === true });
    const size = Math.max(1, answer.items.length);
    if (answer.next) this.#limit = Math.min(1000, Math.max(20, Math.floor(pageBytes / (bytes / size + 64))));
    return {
      after,
      limit,
      next: answer.next ?? "",
      rows: answer.prefixes?.length ? sort([...rows.values()]) : [...rows.values()],
    };
  }

  // #merge keeps the rows that were there, with what is open below them. A key and the
  // level of its name may be on two pages.
  #merge(level) {
    const all = new Map();
    for (const page of level.pages) {
      page.rows = page.rows.filter((fresh) => {
        const first = all.get(fresh.name);
        if (first) {
          // its other half is on an earlier page
          if (fresh.isLevel) Object.assign(first, { keys: fresh.keys, more: fresh.more });
          if (fresh.isKey) Object.assign(first, { value: fresh.value, version: fresh.version });
          return false;
        }
        all.set(fresh.name, fresh);
        return true;
      });
      page.rows = page.rows.map((fresh) => {
        const old = level.rows.get(fresh.name);
        if (!old || old === fresh) return fresh;
        if (fresh.version >= old.version || !fresh.isKey)
          Object.assign(old, { value: fresh.value, version: fresh.version, isGone: false });
        Object.assign(old, { keys: fresh.keys, more: fresh.more });
        all.set(old.name, old);
        return old;
      });
    }
    level.rows = all;
  }

  // #flatten makes the rows of all open levels.
  #flatten() {
    const rows = [];
    const add = (level) => {
      for (const page of level.pages) {
        for (const row of page.rows) {
          row.page = page;
          rows.push(row);
          if (row.isOpen && row.isLevel) add(row.below);
        }
      }
      if ((!level.isComplete && rows.length < maxRows) || level.error)
        rows.push({ level, isMore: true, depth: level.depth });
      else if (!level.isComplete) rows.push({ level, isEnd: true, depth: level.depth });
    };
    for (const root of this.roots) add(root);
    this.rows = rows;
    this.#changed();
  }
}

// preview returns a copy of the beginning of a text. A list shows no more, and the copy lets
// the rest of the answer go.
function preview(text) {
  return text.length <= 300 ? structuredClone(text) : structuredClone(cut(text, 300));
}

// sort puts the levels of a page between its keys, by the bytes of their names, as the
// server sorts them.
function sort(rows) {
  const sortName = (row) => (row.isKey ? row.name : row.name + "/");
  return rows.sort((a, b) => compareBytes(sortName(a), sortName(b)));
}

// compareBytes compares texts by their bytes in UTF-8.
function compareBytes(a, b) {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xs = x >> 11 === 0x1b;
    const ys = y >> 11 === 0x1b; // halves of characters beyond U+FFFF
    return xs === ys ? x - y : xs ? 1 : -1;
  }
  return a.length - b.length;
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
