// Elements. Names and values reach a page only as text, never as markup.

const svgNames = new Set(["svg", "path"]);

// maxText is the length at which lists cut a text, in UTF-16 code units.
export const maxText = 4096;

// h makes an element. A property that begins with "on" is a listener, "class" and names
// with a "-" are attributes, and a value of null or false is left out. A child is a node,
// a text, or a list of children; null and false are left out.
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  const isSvg = svgNames.has(name);
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  if (classes.length > 0) node.classList.add(...classes);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (!isSvg && key in node && key !== "list" && key !== "form") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...flat(children));
  return node;
}

// button makes a button that calls run.
export function button(label, run, props) {
  return h("button", { type: "button", onclick: run, ...props }, label);
}

function flat(children) {
  return children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);
}

// name shows the name of a key or a topic, or a value, in a direction of its own: a text
// that turns the direction of writing does not disturb its neighbours.
export function name(text, className) {
  return h("bdi", { className: className ?? "name" }, cut(text));
}

// cut shortens a text for a list.
export function cut(text, length = maxText) {
  if (text.length <= length) return text;
  const end = text.charCodeAt(length - 1) >> 10 === 0x36 ? length - 1 : length; // not inside a surrogate pair
  return text.slice(0, end) + "…";
}

// put replaces the children of a node.
export function put(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

// A Part is an element of the console with a lifetime: start is called with a signal that
// is aborted when the element leaves the page.
export class Part extends HTMLElement {
  #life;
  connectedCallback() {
    this.#life = new AbortController();
    this.replaceChildren();
    this.start(this.#life.signal);
  }
  disconnectedCallback() {
    this.#life.abort();
  }

  // tell dispatches an event.
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// every calls f now and then again after each delay, while the page is visible, until the
// signal is aborted. f may return a promise, and the delay that follows in milliseconds. It
// returns a function that calls f at once.
export function every(delay, signal, f) {
  let timer,
    running = false,
    again = false;
  const run = async () => {
    if (running) {
      again = true;
      return;
    }
    clearTimeout(timer);
    running = true;
    let next;
    do {
      again = false;
      next = document.visibilityState === "visible" ? await f() : undefined;
    } while (again && !signal.aborted);
    running = false;
    clearTimeout(timer);
    if (!signal.aborted) timer = setTimeout(run, next ?? delay);
  };
  document.addEventListener(
    "visibilitychange",
    () => {
      if (document.visibilityState === "visible") run();
    },
    { signal },
  );
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}

// painter returns a function that asks for a repaint. Repaints are made with the frames of
// the screen, and at most one in interval milliseconds.
export function painter(paint, signal, interval = 100) {
  let asked = false,
    last = -Infinity;
  return () => {
    if (asked || signal.aborted) return;
    asked = true;
    const wait = Math.max(0, last + interval - performance.now());
    setTimeout(
      () =>
        requestAnimationFrame(() => {
          asked = false;
          last = performance.now();
          if (!signal.aborted) paint();
        }),
      wait,
    );
  };
}
