// A server that breaks the rules on demand: a WebSocket class and a fetch whose other end is
// the test. Time is mocked, so that a test takes no longer than its work.
import { mock } from "node:test";
import { connect } from "../rtdb.js";

const clients = [];

// The clock. The one of node:test loses timers of Node 20 when one that has fired is cleared.
const real = { setTimeout, clearTimeout, now: Date.now };
const timers = new Map();
let now = 0;
let lastTimer = 0;

// clock replaces the time of the process.
function clock() {
  now = 1_700_000_000_000;
  timers.clear();
  globalThis.setTimeout = (f, ms = 0) => {
    timers.set(++lastTimer, { f, at: now + Math.max(1, ms) });
    return Object.assign(Object(lastTimer), { unref() {} });
  };
  globalThis.clearTimeout = (id) => timers.delete(Number(id));
  Date.now = () => now;
}

function tick(ms) {
  for (const end = now + ms; ; ) {
    let next;
    for (const [id, { at }] of timers) if (at <= end && (next === undefined || at < timers.get(next).at)) next = id;
    if (next === undefined) return void (now = end);
    const { f, at } = timers.get(next);
    timers.delete(next);
    now = Math.max(now, at);
    f();
  }
}

// sleep lets time pass as a machine does that sleeps: timers fire late. setBack sets the
// clock, which timers do not notice.
export function sleep(ms) {
  now += ms;
}

export function setBack(ms) {
  now -= ms;
  for (const timer of timers.values()) timer.at -= ms;
}

// timersLeft returns how many timers wait.
export const timersLeft = () => timers.size;

// start mocks the time, and returns a server. Everything is undone by stop.
export function start() {
  clock();
  const server = {
    opening: "open", // or "refuse", "hang": the fate of a WebSocket
    protocol: "rtdb.v1",
    sockets: [],
    fetches: [],
    version: 100,
    epoch: "e1",
    health: undefined, // the answer of /healthz: [status, body]; undefined: nothing listens
    replies: {}, // by action: a function that returns the reply, or undefined for none
    get socket() {
      return this.sockets.at(-1);
    },
    connect(options = {}) {
      const client = connect("http://fake.example", { WebSocket: this.WebSocket, ...options });
      client.errors = [];
      client.addEventListener("error", ({ error }) => client.errors.push(error));
      clients.push(client);
      return client;
    },
    // opened returns a client that is open.
    async opened(options) {
      const client = this.connect(options);
      await settle();
      if (client.state !== "open") throw Error(`the client is ${client.state}`);
      return client;
    },
  };
  server.WebSocket = class {
    readyState = 0;
    sent = [];

    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      server.sockets.push(this);
      if (server.opening === "open") queueMicrotask(() => this.open());
      if (server.opening === "refuse") queueMicrotask(() => this.drop());
    }

    open() {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      this.protocol = server.protocol;
      this.onopen?.({});
    }

    send(text) {
      const m = JSON.parse(text);
      this.sent.push(m);
      const reply = (server.replies[m.action] ?? standard)(m, server, this);
      if (reply) queueMicrotask(() => this.receive({ id: m.id, ok: true, ...reply }));
    }

    // receive makes the client receive a message, or a text.
    receive(m) {
      if (this.readyState === 1) this.onmessage?.({ data: typeof m === "string" ? m : JSON.stringify(m) });
    }

    close(code) {
      if (this.readyState > 1) return;
      this.readyState = 2;
      this.closedWith = code;
      queueMicrotask(() => this.drop(code));
    }

    // drop is the end of the connection.
    drop(code = 1006, reason = "") {
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.onclose?.({ code, reason });
    }

    // asked returns the messages with an action that the client has sent.
    asked(action) {
      return this.sent.filter((m) => m.action === action);
    }
  };
  globalThis.fetch = async (url, init) => {
    server.fetches.push(String(url));
    if (server.fetch) return server.fetch(String(url), init);
    if (!server.health) throw new TypeError("fetch failed");
    const [status, body] = server.health;
    return new Response(body, { status });
  };
  return server;
}

// asPage gives the process what the client uses of a page, and returns the window. The events
// of a document bubble to it. stop takes it away again.
export function asPage() {
  const page = new EventTarget();
  globalThis.document = { hidden: false };
  globalThis.addEventListener = page.addEventListener.bind(page);
  return page;
}

const theFetch = globalThis.fetch;

export async function stop() {
  for (const client of clients.splice(0)) client.close();
  await settle();
  Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
  Date.now = real.now;
  mock.restoreAll();
  globalThis.fetch = theFetch;
  delete globalThis.document;
  delete globalThis.addEventListener;
}

// standard returns the answer of a server that keeps the rules.
export function standard(m, server) {
  switch (m.action) {
    case "ping":
      return { action: "pong", revision: server.version, epoch: server.epoch };
    case "subscribe":
      return { revision: server.version, epoch: server.epoch };
    case "set":
    case "patch":
    case "delete":
    case "touch":
      return { version: ++server.version };
    case "get":
      return { error: { code: "not_found", message: "there is no such key" } };
  }
  return {};
}

// silent is a reply that never comes.
export const silent = () => undefined;

// refuse is a reply with an error.
export const refuse = (code, more) => () => ({ ok: undefined, error: { code, message: `this is ${code}`, ...more } });

// settle waits until all events that are due now have happened.
export async function settle() {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

// pass lets time pass, in steps that are short for the client.
export async function pass(ms) {
  for (const step = 100; ms > 0; ms -= step) {
    tick(Math.min(ms, step));
    await settle();
  }
}

// outcome returns the code of the error of a promise that rejects, or the result of one that
// resolves, or "pending".
export async function outcome(promise) {
  let result = "pending";
  promise.then((value) => (result = value ?? "resolved"), (error) => (result = error.code ?? error.name));
  await settle();
  return result;
}

// later returns a promise whose rejection is looked at later.
export function later(promise) {
  promise.catch(() => {});
  return promise;
}

export const update = (key, value, version) => ({ key, value, version, at: version });

export const removal = (key, version) => ({ key, value: null, deleted: true, version, at: version });
