// The parts that the pages share: the bar that shows the connection, and the button that
// cuts it. A page of your own needs none of this.

const CUT = 5_000; // milliseconds

const sockets = new Set();
let isCut = false;
let mended = Promise.resolve(); // settles when the connection is not cut any more
let mend;

/** A WebSocket that can be cut. */
export class CuttableSocket {
  #socket;
  #isOver = false;

  constructor(url, protocols) {
    sockets.add(this);
    mended.then(() => this.#open(url, protocols)); // while the connection is cut, nothing opens
  }

  #open(url, protocols) {
    if (this.#isOver) return this.#end({ code: 1006, reason: "" });
    this.#socket = new WebSocket(url, protocols);
    this.#socket.onopen = () => this.onopen?.();
    this.#socket.onmessage = (event) => this.onmessage?.(event);
    this.#socket.onclose = (event) => this.#end(event);
  }

  get readyState() {
    return this.#isOver ? WebSocket.CLOSED : this.#socket?.readyState ?? WebSocket.CONNECTING;
  }

  get protocol() {
    return this.#socket.protocol;
  }

  send(text) {
    this.#socket.send(text);
  }

  close(code) {
    if (this.#socket) this.#socket.close(code);
    else this.#isOver = true;
  }

  cut() {
    if (!this.#socket) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(4000); // not 1000, so the server carries out the wills
    this.#end({ code: 1006, reason: "" });
  }

  #end(event) {
    this.#isOver = true;
    sockets.delete(this);
    this.onclose?.(event);
  }
}

function cut() {
  isCut = true;
  mended = new Promise((resolve) => (mend = resolve)).then(() => (isCut = false));
  setTimeout(mend, CUT);
  for (const socket of sockets) socket.cut();
}

/** Returns a new element below a parent. */
export function add(parent, tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

/**
 * Shows the state of a client in #connection, with the button. Returns a function that makes
 * the bar show whether a view is stale, and how many changes it has caught up with.
 */
export function showConnection(db) {
  const bar = document.getElementById("connection");
  const badge = add(bar, "span", "badge");
  const freshness = add(bar, "span", "badge");
  const button = add(bar, "button");
  const report = add(bar, "output");
  const trouble = add(bar, "span", "trouble");
  let view;
  let missed = 0;

  const show = () => {
    badge.dataset.state = badge.textContent = isCut ? "cut" : db.state;
    freshness.dataset.state = freshness.textContent = view?.stale ? "stale" : "live";
    button.textContent = isCut ? "Connect again" : "Cut my connection";
    button.disabled = !isCut && db.state !== "open";
  };
  button.onclick = () => {
    if (isCut) return mend();
    missed = 0;
    report.textContent = "";
    cut();
    show();
    mended.then(show);
  };
  db.addEventListener("statechange", () => {
    if (db.state === "open") trouble.textContent = "";
    show();
  });
  db.addEventListener("error", ({ error }) => (trouble.textContent = error.message));
  show();

  return (next) => {
    view = next;
    let wasStale = view.stale;
    let wasLive = !wasStale;
    const stop = view.subscribe((changes) => {
      if (view !== next) return stop();
      if (wasStale && wasLive) missed += changes.length; // they come at once, when all are there
      wasStale = view.stale;
      wasLive ||= !wasStale;
      if (missed && !wasStale) report.textContent = `Caught up with ${missed} missed ${missed === 1 ? "change" : "changes"}.`;
      show();
    });
    show();
  };
}
