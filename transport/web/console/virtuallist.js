// A list that has elements only for the rows that are visible.

import { h, Part } from "./dom.js";

const spare = 8; // rows above and below the visible ones

// A VirtualList shows count rows of one height. One of them is current, and the arrow keys
// move it. The list has the focus, not its rows.
export class VirtualList extends Part {
  count = 0;
  current = 0;
  #pool = new Map(); // by the index of the row
  #spacer;
  #rowHeight = 28;

  // make returns a new element for a row, and fill shows a row in it. seen is called with
  // the visible range after it has changed. act is called with a key event and the current
  // index, and returns true if it has handled the key.
  configure({ make, fill, seen, act, label, columns }) {
    Object.assign(this, { make, fill, seen, act });
    this.tabIndex = 0;
    this.setAttribute("role", "treegrid");
    this.setAttribute("aria-label", label);
    this.setAttribute("aria-colcount", columns);
  }

  start(signal) {
    this.#pool.clear();
    this.#spacer = h("div.spacer", { role: "presentation" });
    this.append(this.#spacer);
    this.#rowHeight = parseFloat(getComputedStyle(this).getPropertyValue("--row")) || 28;
    this.addEventListener("scroll", () => this.draw(), { signal, passive: true });
    this.addEventListener("keydown", (e) => this.#key(e), { signal });
    // In the next frame, because a change of the layout within the call is an error.
    const size = new ResizeObserver(() => requestAnimationFrame(() => this.draw()));
    size.observe(this);
    signal.addEventListener("abort", () => size.disconnect());
  }

  get range() {
    const first = Math.max(0, Math.floor(this.scrollTop / this.#rowHeight) - spare);
    const end = Math.min(this.count, Math.ceil((this.scrollTop + this.clientHeight) / this.#rowHeight) + spare);
    return [first, Math.max(first, end)];
  }

  // first is the first visible row.
  get first() {
    return Math.floor(this.scrollTop / this.#rowHeight);
  }

  // resize shows another number of rows. The current row and the first visible one have moved
  // by the given numbers of rows.
  resize(count, currentShift, firstShift) {
    this.count = count;
    this.current += currentShift;
    this.draw(true);
    if (firstShift !== 0 && this.scrollTop > 0) this.scrollTop += firstShift * this.#rowHeight;
  }

  // element returns the element of a row, if it is drawn.
  element(index) {
    return this.#pool.get(index);
  }

  // draw shows the rows of the visible range, and fills all of them again if refill.
  draw(refill = false) {
    if (!this.#spacer) return;
    this.#spacer.style.height = `${this.count * this.#rowHeight}px`;
    this.setAttribute("aria-rowcount", this.count);
    this.current = Math.max(0, Math.min(this.current, this.count - 1));
    const [first, end] = this.range;
    const free = [];
    for (const [index, node] of this.#pool) {
      if (index >= first && index < end) continue;
      free.push(node);
      this.#pool.delete(index);
    }
    for (let i = first; i < end; i++) {
      let node = this.#pool.get(i);
      if (node && !refill) continue;
      if (!node) {
        node = free.pop() ?? this.#newRow();
        this.#pool.set(i, node);
        node.style.transform = `translateY(${i * this.#rowHeight}px)`;
        node.setAttribute("aria-rowindex", i + 1);
      }
      this.#mark(node, i);
      this.fill(node, i);
    }
    for (const node of free) node.remove();
    this.#activate();
    this.seen(first, end);
  }

  #newRow() {
    const node = this.make();
    node.id = `row-${VirtualList.#rows++}`;
    this.#spacer.append(node);
    return node;
  }
  static #rows = 0;

  #mark(node, index) {
    node.classList.toggle("current", index === this.current);
    node.setAttribute("aria-selected", String(index === this.current));
  }

  #activate() {
    const node = this.#pool.get(this.current);
    if (node) this.setAttribute("aria-activedescendant", node.id);
    else this.removeAttribute("aria-activedescendant");
  }

  // go makes a row the current one, and scrolls to it.
  go(index) {
    const old = this.current;
    this.current = Math.max(0, Math.min(index, this.count - 1));
    const top = this.current * this.#rowHeight;
    if (top < this.scrollTop) this.scrollTop = top;
    else if (top + this.#rowHeight > this.scrollTop + this.clientHeight)
      this.scrollTop = top + this.#rowHeight - this.clientHeight;
    this.draw();
    for (const i of [old, this.current]) {
      const node = this.#pool.get(i);
      if (node) this.#mark(node, i);
    }
    this.#activate();
  }

  #key(e) {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    const page = Math.max(1, Math.floor(this.clientHeight / this.#rowHeight) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (e.key in moves) this.go(this.current + moves[e.key]);
    else if (!this.act(e, this.current)) return;
    e.preventDefault();
    e.stopPropagation();
  }
}

customElements.define("virtual-list", VirtualList);
