// One level of the tree of keys.

import { cut } from "./dom.js";

const previewLength = 300; // a row shows no more

// A Row is a key, a level of keys, or both: "a" may be a key while "a/b" is another.
export class Row {
  constructor(level, name) {
    this.level = level;
    this.name = name; // the key, and the prefix without its last slash
    this.value = undefined; // the beginning of the value's JSON text; undefined: there is no key
    this.version = 0;
    this.keys = 0; // below the level
    this.more = false; // there are more
    this.isGone = false; // the key was deleted, as a subscription says
    this.below = null; // the Level that is open or was, else null
    this.page = null;
  }

  get isKey() {
    return this.value !== undefined;
  }

  get isLevel() {
    return this.keys > 0;
  }

  get isOpen() {
    return this.isLevel && this.below !== null && this.below.open;
  }

  get depth() {
    return this.level.depth;
  }

  get label() {
    return this.depth === 0 ? this.name : this.name.slice(this.level.prefix.length);
  }

  // take takes over a newer value.
  take({ value, version }) {
    // A copy, so that the rest of the answer can be freed.
    this.value = structuredClone(cut(value, previewLength));
    this.version = version;
    this.isGone = false;
  }

  // forget notes that there is no such key.
  forget() {
    this.value = undefined;
    this.version = 0;
    this.isGone = false;
  }

  // sum notes how many keys are below.
  sum({ keys, more }) {
    this.keys = keys;
    this.more = more === true;
  }
}

// A Level is a list of rows that is loaded page by page. A page is { after, limit, next,
// rows, foreign, keys, more }. keys and more say how many keys it sums up. A key and the level
// of its name may be on two pages: the second one has the row as a foreign one.
export class Level {
  open = true;
  pages = [];
  rows = new Map(); // by name
  loading = null;
  error = null;

  // query chooses the keys in a listing. parent is the row that the level is below, or null.
  constructor(query, parent) {
    this.query = query;
    this.parent = parent;
    this.prefix = query.prefix ?? "";
    this.depth = parent === null ? 0 : parent.depth + 1;
  }

  get isComplete() {
    return this.pages.length > 0 && this.next === "";
  }

  // next is the name behind which the next page begins.
  get next() {
    return this.pages.at(-1)?.next ?? "";
  }

  // keys returns how many keys the pages sum up, and whether there are more.
  get keys() {
    const keys = this.pages.reduce((sum, p) => sum + p.keys, 0);
    return { keys, more: !this.isComplete || this.pages.some((p) => p.more) };
  }

  // replace puts fresh answers of the server in the place of the pages from one index to
  // another. The pages behind stay if they still fit. A row that was there stays the same
  // object, with the levels that are open below it.
  replace(from, to, answers) {
    const behind =
      answers.at(-1).next !== "" && this.pages[to]?.next === answers.at(-1).next ? to + 1 : this.pages.length;
    const before = new Map();
    for (const page of this.pages.slice(from, behind)) {
      for (const row of page.rows) {
        before.set(row.name, row);
        this.rows.delete(row.name);
      }
      for (const row of page.foreign) row.sum({ keys: 0 });
    }
    const kept = [...this.pages.slice(0, from), ...this.pages.slice(behind)];
    const foreign = new Set(kept.flatMap((page) => page.foreign));
    const pages = answers.map((answer) => this.#page(answer, before, foreign));
    this.pages = [...this.pages.slice(0, from), ...pages, ...this.pages.slice(behind)];
  }

  #page({ after, limit, next, items, prefixes = [] }, before, foreign) {
    const page = { after, limit, next, rows: [], foreign: [], keys: items.length, more: false };
    const found = new Set(); // the rows that are keys
    const summed = new Set(); // the rows that are levels
    const row = (name) => {
      let r = this.rows.get(name);
      if (r) return r;
      r = before.get(name) ?? new Row(this, name);
      this.rows.set(name, r);
      page.rows.push(r);
      r.page = page;
      return r;
    };
    for (const item of items) {
      const r = row(item.key);
      if (!r.isKey || item.version >= r.version) r.take(item);
      found.add(r);
    }
    for (const level of prefixes) {
      const r = row(level.prefix.slice(0, -1));
      r.sum(level);
      summed.add(r);
      if (r.page !== page) page.foreign.push(r);
      page.keys += level.keys;
      page.more ||= level.more === true;
    }
    for (const r of page.rows) {
      if (!found.has(r)) r.forget();
      if (!summed.has(r) && !foreign.has(r)) r.sum({ keys: 0 });
    }
    if (prefixes.length > 0) page.rows.sort(compareRows);
    return page;
  }
}

// compareRows compares rows in the order of the server's listing: by the bytes of their
// names, and a level by its prefix.
function compareRows(a, b) {
  return compareBytes(a.isKey ? a.name : a.name + "/", b.isKey ? b.name : b.name + "/");
}

// compareBytes compares texts by their bytes in UTF-8.
function compareBytes(a, b) {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xIsHalf = x >> 11 === 0x1b; // of a surrogate pair, whose character is beyond U+FFFF
    const yIsHalf = y >> 11 === 0x1b;
    return xIsHalf === yIsHalf ? x - y : xIsHalf ? 1 : -1;
  }
  return a.length - b.length;
}
