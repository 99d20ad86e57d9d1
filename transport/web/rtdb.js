// The client of an rtdb server, for browsers and Node. README.md is its manual, rtdb.d.ts
// documents each call.

/** An error with a code: one of the server's, or one of the client's own. */
export class RTDBError extends Error {
  constructor(code, message, version) {
    super(message);
    this.name = "RTDBError";
    this.code = code;
    if (version !== undefined) this.version = version;
  }
}

/** A token provider throws it if there will be no token: the client ends. */
export class Unauthorized extends RTDBError {
  constructor(message = "the token provider has no token") {
    super("unauthorized", message);
  }
}

/** Connects to a server, and reconnects until close(). */
export const connect = (url = globalThis.location?.origin, options = {}) => new Client(baseOf(url), options);

const PROTOCOL = "rtdb.v1";
const STEP = 10_000; // the deadline of each step of a connect attempt
const STABLE = 5_000; // a link that lived this long resets the back-off
const DOUBT = 2_000; // a link whose ping waits this long is doubtful
const QUEUE = 1_000; // messages of a topic that wait for a slow reader
const HEARTBEAT = 15_000; // how often an event stream has a comment

function baseOf(url) {
  const { protocol, host, pathname } = new URL(url, globalThis.location?.href);
  if (!/^(http|ws)s?:$/.test(protocol)) throw new TypeError(`connect: ${url} is no http, https, ws or wss URL`);
  return protocol.replace("ws", "http") + "//" + host + pathname.replace(/\/+$/, "").replace(/\/ws$/, "");
}

const isPattern = (name) => /[+#]/.test(name);

const errorOf = (e) => e && new RTDBError(e.code, e.message, e.version);

// matcher returns a function that tells whether a name matches an MQTT pattern.
function matcher(pattern) {
  const levels = pattern.split("/").map((level) =>
    level === "+" ? "[^/]+" : level === "#" ? ".*" : level.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  const expression = RegExp("^" + levels.join("/").replace(/\/\.\*$/, "(/.*)?") + "$", "s");
  return (name) => expression.test(name);
}

// newID returns 26 characters that sort by time: a ULID in lower case. Within the client
// each is above the last one, even if the clock goes back.
function newID() {
  const now = Date.now();
  if (now > idTime) {
    idTime = now;
    idTail = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte & 31);
  } else {
    let i = 15;
    while (idTail[i] === 31) idTail[i--] = 0;
    if (i < 0) idTime++;
    else idTail[i]++;
  }
  const time = [];
  for (let t = idTime; time.length < 10; t = Math.floor(t / 32)) time.unshift(t % 32);
  return [...time, ...idTail].map((digit) => "0123456789abcdefghjkmnpqrstvwxyz"[digit]).join("");
}
let idTime = 0;
let idTail = [];

// A listener's error is the page's, and must not stop the client.
function guarded(listener, argument) {
  try {
    listener(argument);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

// A Feed is an async iterator. take returns the next item, undefined if none waits.
class Feed {
  #waiters = [];
  #take;
  #stop;
  #end;

  constructor(take, stop) {
    this.#take = take;
    this.#stop = stop;
  }

  next() {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.wake();
    });
  }

  wake() {
    while (this.#waiters.length) {
      const value = this.#take();
      if (value === undefined && !this.#end) return;
      const { resolve, reject } = this.#waiters.shift();
      const error = value === undefined && this.#end.error;
      if (!error) resolve({ value, done: value === undefined });
      else {
        this.#end = {};
        reject(error);
      }
    }
  }

  end(error) {
    this.#end ??= { error };
    this.wake();
  }

  async return() {
    this.#take = () => {};
    this.#stop();
    this.end();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

const OFF = 0, SUBSCRIBING = 1, ON = 2, LEAVING = 3;

// A Subscription is shared by all views, or all topics, of the same names.
class Subscription {
  phase = OFF;
  stale = true;
  users = new Set();
  entries = new Map();
  changes = []; // not announced yet: a view is told of its catching up at once
  came = new Set(); // keys that came since the subscribe
  epoch; // with revision: where to resume; undefined before the first reply
  revision;

  constructor(kind, name) {
    this.kind = kind;
    this.names = { [kind]: name };
    this.isWide = kind.endsWith("attern") || kind === "keys" && name.length !== 1;
    if (kind === "keys") {
      const keys = new Set(name);
      this.matches = (key) => keys.has(key);
    } else if (this.isWide) this.matches = matcher(name);
  }

  update(m, epoch) {
    const old = this.entries.get(m.key);
    // Versions of two epochs do not compare.
    const comparable = epoch === this.epoch || this.came.has(m.key);
    if (m.deleted ? !old : old && comparable && m.version <= old.version) return;
    this.#change(m);
    if (this.phase === ON) this.flush();
    else if (!m.deleted) this.came.add(m.key);
  }

  #change(m) {
    if (m.deleted) this.entries.delete(m.key), this.came.delete(m.key);
    else this.entries.set(m.key, m);
    this.map = undefined;
    this.changes.push(m);
  }

  // caughtUp takes the reply of the subscribe. After all values came, other keys are gone.
  caughtUp({ revision, epoch, reset }) {
    if (reset || this.epoch === undefined) {
      for (const key of this.entries.keys()) if (!this.came.has(key)) this.#change({ key, value: null, deleted: true });
    }
    Object.assign(this, { phase: ON, revision, epoch });
    this.came.clear();
    this.flush();
    for (const user of this.users) user.caughtUp();
  }

  flush() {
    const changes = this.changes;
    this.changes = [];
    if (changes.length) for (const user of this.users) user.changed(changes);
  }

  snapshot() {
    return (this.map ??= new Map(this.entries));
  }
}

class View {
  #subscription;
  #listeners = new Set();
  #feeds = new Set();
  #settle;
  #leave;
  #closed = false;

  constructor(subscription, leave) {
    this.#subscription = subscription;
    this.#leave = leave;
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready.catch(() => {}); // it is no fault if nobody waits
    if (subscription.phase === ON) this.caughtUp();
  }

  get stale() {
    return this.#closed || this.#subscription.stale;
  }

  get = (key) => this.#subscription.entries.get(key);

  snapshot = () => this.#subscription.snapshot();

  subscribe = (listener) => {
    const entry = { listener }; // so that the same function may subscribe twice
    if (!this.#closed) this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  };

  close() {
    this.end(new RTDBError("closed", "the view is closed"), true);
  }

  [Symbol.asyncIterator]() {
    const waiting = new Map(this.#closed ? [] : this.#subscription.entries);
    for (const { key } of this.#subscription.changes) waiting.delete(key); // they are still to come
    const take = () => {
      for (const [key, change] of waiting) {
        waiting.delete(key);
        return change;
      }
    };
    const feed = new Feed(take, () => this.#feeds.delete(feed));
    feed.waiting = waiting;
    if (this.#closed) feed.end(this.#closed.error);
    else this.#feeds.add(feed);
    return feed;
  }

  // The rest is called by the client.

  changed(changes) {
    for (const { listener } of this.#listeners) guarded(listener, changes);
    for (const feed of this.#feeds) {
      for (const change of changes) feed.waiting.set(change.key, change);
      feed.wake();
    }
  }

  caughtUp() {
    this.#settle.resolve();
  }

  end(error, isClose) {
    if (this.#closed) return;
    this.#closed = { error: isClose ? undefined : error };
    this.#settle.reject(error);
    this.#leave(this);
    for (const feed of this.#feeds) feed.end(this.#closed.error);
    if (!isClose) this.changed([]); // it is stale
    this.#listeners.clear();
    this.#feeds.clear();
  }
}

// A Tail is one reader of a topic.
class Tail {
  #queue = [];
  #name;
  #isLive = false;

  constructor(name, leave) {
    this.#name = name;
    this.feed = new Feed(() => this.#queue.shift(), () => leave(this));
  }

  message(m) {
    const last = this.#queue.at(-1);
    if (this.#queue.length < QUEUE || m.missed === true) this.#queue.push(m);
    else if (last.missed > 0) last.missed += m.missed ?? 1;
    else this.#queue.push({ topic: this.#name, missed: m.missed ?? 1 });
    this.feed.wake();
  }

  caughtUp() {
    if (this.#isLive) this.message({ topic: this.#name, missed: true }); // while there was no link
    this.#isLive = true;
  }

  changed() {}

  end(error, isClose) {
    this.feed.end(isClose ? undefined : error);
  }
}

// openSocket resolves to a link over a WebSocket, or to undefined if it does not open. A link
// has send, which reports whether it sent, and close. It calls text, closed and fail of the turn.
function openSocket(turn) {
  const { base, signal, options: { WebSocket, stringify } } = turn;
  let socket;
  try {
    socket = new WebSocket(base.replace("http", "ws") + "/ws", [PROTOCOL]);
  } catch {
    return; // there is none, or the page's policy forbids it
  }
  return new Promise((resolve) => {
    let isOpening = true;
    let isOver = false;
    const give = (link) => {
      if (!isOpening) return;
      isOpening = false;
      clearTimeout(timer);
      if (!link) close(4000);
      resolve(link);
    };
    const timer = setTimeout(give, STEP);
    const ended = new Promise((settle) => {
      socket.onclose = ({ code, reason }) => {
        settle();
        if (isOpening) give();
        else if (!isOver) turn.closed(code, reason);
      };
    });
    const close = (code) => {
      isOver = true;
      socket.close(code);
      if (code !== 1000) socket.terminate?.(); // of ws: do not wait for a peer that may be gone
      const late = setTimeout(() => socket.terminate?.(), DOUBT);
      return ended.then(() => clearTimeout(late));
    };
    signal.addEventListener("abort", () => give());
    socket.onerror = () => {}; // onclose follows
    socket.onmessage = ({ data }) => isOver || turn.text(data);
    socket.onopen = () => give(socket.protocol === PROTOCOL && {
      send: (m, text = stringify(m)) => socket.readyState === 1 && (socket.send(text), true),
      close,
    });
  });
}

// A Streams is a link over HTTP alone: one event stream for all subscriptions, and a request
// for each other message, one after the other. It answers as a WebSocket does.
class Streams {
  #turn;
  #token;
  #asked = []; // subscribes without a reply
  #stream; // the AbortController of the event stream
  #silence;
  #soon;
  #tail = Promise.resolve(); // of the requests
  #mark = {}; // revision and epoch of the stream

  constructor(turn) {
    this.#turn = turn;
  }

  send(m) {
    if (m.action === "subscribe") {
      this.#asked.push(m);
      this.#select();
    } else if (m.action === "unsubscribe") {
      queueMicrotask(() => this.#reply(m, {}));
      this.#select();
    } else this.#tail = this.#tail.then(() => this.#request(m)).catch((error) => this.#fail(error));
    return true;
  }

  async close() {
    this.#turn = undefined;
    clearTimeout(this.#soon);
    clearTimeout(this.#silence);
    this.#stream?.abort();
  }

  #reply({ id }, reply) {
    this.#turn?.receive({ id, ...reply });
  }

  #fail(error) {
    if (!(error instanceof RTDBError)) error = new RTDBError("offline", `${this.#turn?.base} did not answer: ${error.message}`);
    this.#turn?.fail(error);
  }

  // fetch returns the response, and undefined if the link is closed.
  async #fetch(path, init) {
    const { base, signal } = this.#turn;
    const headers = this.#token && { Authorization: "Bearer " + this.#token };
    const response = await fetch(base + path, { cache: "no-store", signal, headers, ...init });
    return this.#turn && response;
  }

  async #request(m) {
    if (!this.#turn) return;
    const { action, key, topic, value, ttl, ifVersion } = m;
    const { parse, stringify } = this.#turn.options;
    if (action === "hello") return this.#reply(m, {});
    if (action === "will") {
      return this.#reply(m, { error: { code: "unsupported", message: "a will needs a WebSocket, and none opens to this server" } });
    }
    if (action === "ping") {
      // The answer says, as on a WebSocket, that everything asked before has come.
      if (!this.#asked.length) await this.#fetch("/healthz");
      return this.#reply(m, { ...this.#mark, action: "pong" });
    }
    if (action === "auth") {
      this.#token = m.token;
      const response = await this.#fetch("/openapi.json", { method: "HEAD" }); // it needs a token that counts
      if (response?.status === 401) return this.#reply(m, { error: { code: "unauthorized", message: "the token is not accepted" } });
      return this.#reply(m, {});
    }
    // A browser would resolve these levels in a path.
    const name = key ?? topic;
    if (/(^|\/)\.\.?(\/|$)/.test(name)) return this.#reply(m, { error: { code: "invalid_name", message: `${name} has a level . or ..` } });
    const path = encodeURIComponent(name);
    let response;
    if (action === "get") response = await this.#fetch("/data/" + path);
    else if (topic !== undefined) response = await this.#fetch("/topics/" + path, { method: "POST", body: stringify({ value }) });
    else {
      const change = { set: { value }, patch: { patch: value } }[action] ?? { [action]: true };
      response = await this.#fetch("/data", { method: "POST", body: stringify({ items: [{ key, ttl, ifVersion, ...change }] }) });
    }
    let answer;
    try {
      answer = parse(await response.text());
    } catch {
      throw new RTDBError("bad_answer", `${this.#turn?.base} answered ${response.status} with no JSON`);
    }
    answer = answer.results?.[0] ?? answer;
    this.#reply(m, answer);
    if (this.#token && answer.error?.code === "unauthorized") this.#fail(errorOf(answer.error)); // it has expired
  }

  // select opens the stream anew, once for all that is asked now.
  #select() {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#stream?.abort();
      if (this.#stream) this.#turn.resubscribe(); // the subscriptions of the old stream
      this.#stream = undefined;
      if (this.#asked.length) this.#open().catch((error) => this.#fail(error));
    });
  }

  async #open() {
    clearTimeout(this.#soon); // resubscribe has set it
    this.#soon = undefined;
    const asked = this.#asked;
    const stream = (this.#stream = new AbortController());
    // It resumes if all can resume from the same revision.
    const { since, epoch } = asked.find((m) => !isTopic(m)) ?? asked[0];
    const resumes = since !== undefined && asked.every((m) => isTopic(m) || m.since === since && m.epoch === epoch);
    const start = resumes ? { since, epoch } : { snapshot: true };
    const response = await this.#fetch(`/events?${queryOf(asked, start)}`, { signal: stream.signal });
    if (this.#stream !== stream) return;
    if (!response.ok) return this.#refused(asked, response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let event = {};
    for (;;) {
      clearTimeout(this.#silence);
      this.#silence = setTimeout(() => this.#fail(Error("the event stream is silent")), HEARTBEAT + this.#turn.options.pingTimeout);
      const { done, value } = await reader.read();
      if (this.#stream !== stream || !this.#turn) return;
      if (done) throw Error("the event stream ended");
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const [, field, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (field) event[field] = text;
        else if (!line) {
          this.#event(event, asked, !resumes);
          event = {};
          if (this.#stream !== stream || !this.#turn) return;
        }
      }
    }
  }

  #event({ event, id, data }, asked, isSnapshot) {
    if (id) {
      const dot = id.lastIndexOf(".");
      this.#mark = { epoch: id.slice(0, dot), revision: Number(id.slice(dot + 1)) };
    }
    if (!data) return;
    const { parse } = this.#turn.options;
    if (!event) return this.#turn.text(data, this.#mark.epoch);
    const m = parse(data);
    if (event === "synced") {
      this.#asked = this.#asked.filter((one) => !asked.includes(one));
      for (const one of asked) this.#reply(one, { reset: isSnapshot, ...m });
    } else if (event === "end") this.#turn.closed(m.code, m.reason);
    else if (event === "error") this.#fail(errorOf(m));
    else this.#turn.receive(m); // stale and fresh
  }

  // refused finds out which of the subscriptions the server refuses.
  async #refused(asked, response) {
    const { error } = await response.json().catch(() => ({}));
    const failure = errorOf(error) ?? Error(`the event stream was answered ${response.status}`);
    if (![400, 403].includes(response.status)) throw failure;
    const bad = [];
    for (const m of asked) {
      const { status } = await this.#fetch(`/events?${queryOf([m], {})}`, { method: "HEAD" });
      if (status === 400 || status === 403) bad.push(m);
    }
    if (!bad.length) throw failure;
    this.#asked = this.#asked.filter((m) => !bad.includes(m));
    for (const m of bad) this.#reply(m, { error });
    this.#stream = undefined;
    if (this.#asked.length) this.#select();
  }
}

const isTopic = (m) => "topic" in m || "topicPattern" in m;

// queryOf returns the query of an event stream.
function queryOf(asked, start) {
  const query = new URLSearchParams({ ...start, protocol: PROTOCOL });
  for (const { keys = [], pattern, topic, topicPattern } of asked) {
    for (const key of keys) query.append("key", key);
    for (const [name, value] of Object.entries({ pattern, topic, topicPattern })) value !== undefined && query.append(name, value);
  }
  return query;
}

class Client extends EventTarget {
  #base;
  #options;
  #state = "connecting";
  #reason; // why it is closed
  #turn; // aborted at the end of a connect attempt or of its link
  #link;
  #timer; // of the state: a deadline, the next ping, or the next attempt
  #tries = 0; // since the last stable link
  #attempts = []; // the times of the last ones
  #openedAt = Infinity;
  #unopened = 0; // WebSockets in a row that did not open
  #lastError;
  #life = new AbortController();
  #id = 0;
  #queue = new Set(); // requests that are not sent
  #calls = new Map(); // requests that are sent, by id
  #wills = new Map();
  #subscriptions = new Map();
  #leaving = 0; // unsubscribes without a reply
  #sweep;
  #epoch;
  #heard = false; // something came since the ping
  #pinging = false;
  #doubtful = false;
  #behind = false; // the server says that its own state is stale

  constructor(base, options) {
    super();
    const { backoff: { min = 500, max = 20_000 } = {}, ...others } = options;
    this.#base = base;
    this.#options = {
      WebSocket: globalThis.WebSocket, parse: JSON.parse, stringify: JSON.stringify,
      pingAfter: 25_000, pingTimeout: 8_000, writeTimeout: 10_000, ...others, min, max,
    };
    const wake = () => {
      if (globalThis.document?.visibilityState === "hidden") return;
      if (this.#state === "waiting") this.#wait(0);
      else if (this.#state === "open") this.#ping();
    };
    const { signal } = this.#life;
    globalThis.document?.addEventListener("visibilitychange", wake, { signal });
    for (const name of ["pageshow", "online", "offline"]) globalThis.addEventListener?.(name, wake, { signal });
    this.#connect();
  }

  get state() {
    return this.#state;
  }

  ready(signal) {
    return new Promise((resolve, reject) => {
      const over = new AbortController();
      const check = () => {
        if (signal?.aborted) reject(signal.reason);
        else if (this.#state === "open") resolve();
        else if (this.#state === "closed") reject(this.#reason);
        else return;
        over.abort();
      };
      this.addEventListener("statechange", check, { signal: over.signal });
      signal?.addEventListener("abort", check, { signal: over.signal });
      check();
    });
  }

  async get(key, { signal } = {}) {
    try {
      const { value, version, at, expires_in: expiresIn } = await this.#request({ action: "get", key }, signal, false);
      return { key, value, version, at, expiresIn };
    } catch (error) {
      if (error?.code !== "not_found") throw error;
    }
  }

  async #write(action, m, { signal, ...options } = {}) {
    return (await this.#request({ action, ...m, ...options }, signal)).version;
  }

  set = (key, value, options) => this.#write("set", { key, value }, options);

  patch = (key, value, options) => this.#write("patch", { key, value }, options);

  delete = (key, options) => this.#write("delete", { key }, options);

  touch = (key, ttl, options) => this.#write("touch", { key, ttl }, options);

  async publish(topic, value, options) {
    if (this.#state !== "open") throw this.#reason ?? this.#offline("the message was not sent");
    await this.#write("publish", { topic, value }, options);
  }

  async push(prefix, value, options) {
    const key = prefix.replace(/\/?$/, "/") + newID();
    await this.set(key, value, { ...options, ifVersion: 0 });
    return key;
  }

  async update(key, change, { tries = 10, ...options } = {}) {
    let old = structuredClone(this.#known(key)); // change may write to it
    for (;;) {
      old ??= await this.get(key, options);
      const value = await change(old);
      if (value === undefined) return old;
      try {
        return { key, value, version: await this.set(key, value, { ...options, ifVersion: old?.version ?? 0 }) };
      } catch (error) {
        if (error?.code !== "version_mismatch" || --tries <= 0) throw error;
        old = undefined;
      }
    }
  }

  async will(what) {
    const target = what.topic === undefined ? { key: what.key } : { topic: what.topic };
    const name = JSON.stringify(target);
    const m = { action: "will", ...what };
    await this.#request(m, undefined, false);
    this.#wills.set(name, m);
    return async () => {
      if (this.#wills.get(name) !== m) return;
      this.#wills.delete(name);
      if (this.#state === "open") await this.#request({ action: "will", ...target }, undefined, false);
    };
  }

  view(what, { signal } = {}) {
    const [kind, name] = typeof what === "string" && isPattern(what) ? ["pattern", what] : ["keys", [...new Set([what].flat())].sort()];
    const view = new View(this.#subscription(kind, name), (user) => this.#leave(kind, name, user));
    this.#join(kind, name, view);
    signal?.addEventListener("abort", () => view.close(), { signal: this.#life.signal });
    if (signal?.aborted) view.close();
    return view;
  }

  topic(name) {
    const kind = isPattern(name) ? "topicPattern" : "topic";
    return {
      [Symbol.asyncIterator]: () => {
        const tail = new Tail(name, (user) => this.#leave(kind, name, user));
        this.#join(kind, name, tail);
        return tail.feed;
      },
    };
  }

  close() {
    const link = this.#end();
    return Promise.resolve(link?.close(1000));
  }

  #offline(message) {
    return new RTDBError("offline", `not connected to ${this.#base}: ${message}`);
  }

  #setState(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#refresh();
    this.dispatchEvent(new Event("statechange"));
  }

  #error(error) {
    if (String(error) === this.#lastError) return; // once, not at each attempt
    this.#lastError = String(error);
    this.dispatchEvent(Object.assign(new Event("error"), { error }));
  }

  #setTimer(ms, f) {
    clearTimeout(this.#timer);
    const due = Date.now() + ms;
    // If it fires late, the page was asleep, and messages may wait behind it.
    this.#timer = setTimeout(() => (Date.now() > due + 1000 ? this.#setTimer(1000, f) : f()), ms);
  }

  // Connecting

  async #connect() {
    const { token: provider, client } = this.#options;
    const turn = (this.#turn = new AbortController());
    const { signal } = turn;
    const during = (f) => (...args) => signal.aborted || f(...args);
    const hooks = {
      base: this.#base, options: this.#options, signal,
      text: during((text, epoch) => this.#text(text, epoch)),
      receive: during((m) => this.#receive(m)),
      fail: during((error) => this.#lost(error)),
      closed: during((code, reason) => this.#closed(code, reason)),
      resubscribe: during(() => this.#resubscribe()),
    };
    this.#attempts = [...this.#attempts, Date.now()].slice(-this.#limit);
    this.#setState("connecting");
    try {
      let token = await provider?.();
      if (signal.aborted) return;
      let link = await openSocket(hooks);
      if (signal.aborted) return void link?.close(4000);
      this.#setTimer(STEP, () => this.#lost(this.#offline("no answer within 10 s")));
      if (link) this.#unopened = 0;
      else {
        await this.#checkHealth(signal);
        if (signal.aborted) return;
        if (this.#options.WebSocket && ++this.#unopened < 2) throw this.#offline("the WebSocket does not open");
        link = new Streams(hooks);
      }
      this.#link = link;
      if (token) {
        let refused = await this.#authenticate(token);
        if (refused?.code === "unauthorized") refused = await this.#authenticate(await provider());
        if (signal.aborted) return;
        if (refused) throw refused;
      }
      if (client) this.#hello();
      this.#ask({ action: "ping" }, (error, m) => this.#opened(error, m));
      for (const m of this.#wills.values()) this.#ask(m, (error) => error && this.#error(error));
      for (const subscription of this.#subscriptions.values()) this.#sync(subscription);
    } catch (error) {
      if (!signal.aborted) this.#lost(error);
    }
  }

  // checkHealth throws if the server does not answer, or is not rtdb.
  async #checkHealth(signal) {
    let response, text;
    try {
      response = await fetch(this.#base + "/healthz", { signal, cache: "no-store" });
      text = await response.text();
    } catch {
      throw this.#offline("does the server run, and does it allow this page's origin?");
    }
    if (response.status >= 500) throw this.#offline(`/healthz was answered ${response.status}`);
    try {
      if (JSON.parse(text).status) return;
    } catch {}
    throw new RTDBError("not_rtdb", `${this.#base} is not an rtdb server: no WebSocket opens at /ws, and /healthz was answered ${response.status} without its JSON`);
  }

  #authenticate(token) {
    return new Promise((resolve) => this.#ask({ action: "auth", token }, (error, m) => {
      for (const { names } of m.ended ? [...this.#subscriptions.values()] : []) {
        if (m.ended.some((name) => Object.values(names).flat().includes(name))) this.#resubscribe(); // the refused ones fail
      }
      resolve(error);
    }));
  }

  #hello() {
    this.#ask({ action: "hello", client: this.#options.client }, (error) => error && this.#error(error));
  }

  async #renew() {
    const { token: provider, client } = this.#options;
    const { signal } = this.#turn;
    try {
      const token = await provider?.();
      if (!token || signal.aborted) return;
      const refused = await this.#authenticate(token);
      if (refused) throw refused;
      if (client) this.#hello(); // a token of another subject gives up the name
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Unauthorized) this.#lost(error);
      else this.#error(error);
    }
  }

  #opened(error, { epoch }) {
    if (error) return this.#lost(error);
    this.#epoch = epoch;
    this.#openedAt = Date.now();
    this.#setState("open");
    this.#setTimer(this.#options.pingAfter, () => this.#ping());
    this.#flush();
  }

  #closed(code, reason) {
    const kind = { 1008: "refused", 1009: "too_large", 4008: "too_slow", 4009: "kicked", 4011: "replaced" }[code];
    let error = kind && new RTDBError(kind, `${this.#base} ended the connection: ${reason} (${code})`);
    if (this.#state !== "open") error ??= this.#offline(`the connection was closed (${code} ${reason})`);
    this.#lost(error, code === 1008 || code === 4009);
  }

  // lost ends the turn, and plans the next attempt.
  #lost(error, isPatient) {
    this.#link?.close(4000);
    if (Date.now() - this.#openedAt >= STABLE) {
      this.#tries = 0;
      this.#lastError = undefined;
    }
    this.#openedAt = Infinity;
    this.#drop();
    if (error instanceof Unauthorized || error?.code === "replaced") {
      this.#error(error);
      return this.#end(error);
    }
    const { min, max } = this.#options;
    this.#wait(isPatient ? max * (1 + Math.random()) / 2 : Math.random() * Math.min(max, min * 2 ** this.#tries++));
    if (error) this.#error(error);
  }

  // drop forgets the link and what was under way on it.
  #drop() {
    this.#turn.abort();
    clearTimeout(this.#timer);
    this.#link = undefined;
    this.#pinging = this.#doubtful = this.#behind = false;
    this.#leaving = 0;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    const unsent = [...this.#queue];
    this.#queue.clear();
    for (const call of calls) {
      if (call.isWrite) call.done(new RTDBError("unknown_outcome", "the connection was lost before the reply: the write may have been made"));
      else if (call.text) this.#queue.add(call);
    }
    for (const call of unsent) this.#queue.add(call);
    for (const subscription of this.#subscriptions.values()) {
      subscription.phase = OFF;
      subscription.flush();
      this.#sync(subscription);
    }
  }

  get #limit() {
    return Math.max(1, 10_000 / this.#options.min);
  }

  // wait plans an attempt. At most #limit begin in a minute, whatever wakes them.
  #wait(ms) {
    const first = this.#attempts.length >= this.#limit ? this.#attempts[0] + 60_000 - Date.now() : 0;
    this.#setTimer(Math.max(ms, first), () => this.#connect());
    this.#setState("waiting");
  }

  #end(error) {
    if (this.#state === "closed") return;
    const link = this.#link;
    this.#reason = error ?? new RTDBError("closed", "the client is closed");
    this.#life.abort();
    this.#drop();
    clearTimeout(this.#sweep);
    this.#setState("closed");
    for (const call of this.#queue) call.done(this.#reason);
    for (const { users } of this.#subscriptions.values()) for (const user of users) user.end(this.#reason, !error);
    this.#subscriptions.clear();
    return link;
  }

  // The link's liveness

  #ping() {
    if (this.#pinging) return;
    this.#pinging = true;
    this.#heard = false;
    const { pingAfter, pingTimeout } = this.#options;
    const check = () => {
      if (!this.#heard) return this.#lost(this.#offline("no answer to a ping"));
      this.#heard = false; // a long snapshot may be before the pong
      this.#setTimer(pingTimeout, check);
    };
    const doubt = Math.min(DOUBT, pingTimeout / 2);
    this.#setTimer(doubt, () => {
      this.#doubtful = true;
      this.#refresh();
      this.#setTimer(pingTimeout - doubt, check);
    });
    this.#ask({ action: "ping" }, (error, { revision }) => {
      if (error) return this.#error(error);
      this.#pinging = this.#doubtful = false;
      for (const subscription of this.#subscriptions.values()) {
        if (subscription.phase === ON && revision > subscription.revision) subscription.revision = revision;
      }
      this.#refresh();
      this.#setTimer(pingAfter, () => this.#ping());
    });
  }

  #refresh() {
    for (const subscription of this.#subscriptions.values()) {
      const stale = this.#state !== "open" || subscription.phase !== ON || this.#doubtful || this.#behind;
      if (stale === subscription.stale) continue;
      subscription.stale = stale;
      for (const user of subscription.users) user.changed([]);
    }
  }

  // Requests

  #request(m, signal, isWrite = true) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#reason) throw this.#reason;
      const id = ++this.#id;
      const call = { id, isWrite, m: { id, ...m }, text: this.#options.stringify({ id, ...m }) };
      const abort = () => call.done(signal.reason);
      call.done = (error, reply) => {
        clearTimeout(call.timer);
        signal?.removeEventListener("abort", abort);
        this.#queue.delete(call);
        this.#calls.delete(id);
        if (error) reject(error);
        else resolve(reply);
      };
      signal?.addEventListener("abort", abort);
      this.#arm(call);
      this.#queue.add(call);
      this.#flush();
    });
  }

  #arm(call) {
    const { writeTimeout } = this.#options;
    clearTimeout(call.timer);
    call.timer = setTimeout(() => call.done(
      this.#queue.has(call) ? this.#offline(`the request was not sent within ${writeTimeout} ms`)
        : call.isWrite ? new RTDBError("unknown_outcome", `no reply within ${writeTimeout} ms: the write may have been made`)
          : new RTDBError("timeout", `no reply within ${writeTimeout} ms`)), writeTimeout);
  }

  #flush() {
    if (this.#state !== "open") return;
    for (const call of this.#queue) {
      if (!this.#link.send(call.m, call.text)) return;
      this.#queue.delete(call);
      this.#calls.set(call.id, call);
      this.#arm(call);
    }
  }

  // ask sends a request of the client's own. It is forgotten with its link.
  #ask(m, done) {
    const id = ++this.#id;
    this.#calls.set(id, { done });
    this.#link.send({ id, ...m });
  }

  #text(text, epoch) {
    let m;
    try {
      m = this.#options.parse(text);
      if (typeof m !== "object" || !m) throw 0;
    } catch {
      return this.#lost(new RTDBError("bad_answer", `${this.#base} sent a message that is no JSON object: ${String(text).slice(0, 100)}`));
    }
    this.#epoch = epoch ?? this.#epoch;
    this.#receive(m);
  }

  #receive(m) {
    this.#heard = true;
    if (m.id !== undefined) {
      const call = this.#calls.get(Number(m.id));
      this.#calls.delete(Number(m.id));
      call?.done(errorOf(m.error), m);
    } else if (m.error) this.#error(errorOf(m.error));
    else if (m.key !== undefined) this.#route("keys", "pattern", m.key, (subscription) => subscription.update(m, this.#epoch));
    else if (m.topic !== undefined) {
      this.#route("topic", "topicPattern", m.topic, ({ users }) => {
        for (const user of users) user.message(m);
      });
    } else if (m.action === "auth") this.#renew();
    else if (m.action === "stale" || m.action === "fresh") {
      this.#behind = m.action === "stale";
      this.#refresh();
    }
  }

  // Subscriptions

  #key(kind, name) {
    return kind + "\n" + [name].flat().join("\n");
  }

  #route(kind, wideKind, name, take) {
    const exact = this.#subscriptions.get(kind + "\n" + name);
    if (exact && exact.phase !== OFF) take(exact);
    for (const s of this.#subscriptions.values()) {
      if (s.isWide && s.phase !== OFF && (s.kind === kind || s.kind === wideKind) && s.matches(name)) take(s);
    }
  }

  #known(key) {
    for (const s of this.#subscriptions.values()) {
      const entry = !s.stale && s.entries.get(key);
      if (entry) return entry;
    }
  }

  #subscription(kind, name) {
    const key = this.#key(kind, name);
    let subscription = this.#subscriptions.get(key);
    if (!subscription) this.#subscriptions.set(key, (subscription = new Subscription(kind, name)));
    return subscription;
  }

  #join(kind, name, user) {
    if (this.#reason) return user.end(this.#reason);
    const subscription = this.#subscription(kind, name);
    subscription.users.add(user);
    if (subscription.phase === ON) user.caughtUp();
    this.#sync(subscription);
  }

  #leave(kind, name, user) {
    this.#subscriptions.get(this.#key(kind, name))?.users.delete(user);
    if (this.#reason) return;
    // One task later, so that a view that is opened again at once costs nothing.
    this.#sweep ??= setTimeout(() => {
      this.#sweep = undefined;
      for (const subscription of this.#subscriptions.values()) this.#sync(subscription);
    });
  }

  #resubscribe() {
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.phase !== ON) continue;
      subscription.phase = OFF;
      this.#sync(subscription);
    }
    this.#refresh();
  }

  // sync brings a subscription to where its users want it.
  #sync(subscription) {
    const { users, phase, kind, names, epoch, revision } = subscription;
    if (phase === SUBSCRIBING || phase === LEAVING) return;
    if (!users.size) {
      if (phase === ON) this.#unsubscribe(subscription);
      else this.#subscriptions.delete(this.#key(kind, names[kind]));
    } else if (phase === OFF && this.#link && !this.#leaving) {
      // While an unsubscribe is under way its updates may still come, and would be mistaken
      // for the new subscription's.
      subscription.phase = SUBSCRIBING;
      subscription.came.clear();
      const start = isTopic(names) ? {} : epoch === undefined ? { snapshot: true } : { since: revision, epoch };
      if (names.keys && !names.keys.length) subscription.caughtUp({});
      else this.#ask({ action: "subscribe", ...names, ...start }, (error, m) => this.#subscribed(subscription, error, m));
    }
  }

  #subscribed(subscription, error, m) {
    if (!error) {
      subscription.caughtUp(m);
      this.#refresh();
      this.#sync(subscription);
      return;
    }
    this.#error(error);
    const { signal } = this.#turn;
    if (["unavailable", "rate_limited", "limit_reached", "internal"].includes(error.code)) {
      const again = setTimeout(() => {
        subscription.phase = OFF;
        this.#sync(subscription);
      }, 1000 + Math.random() * 4000);
      signal.addEventListener("abort", () => clearTimeout(again));
      return;
    }
    const { kind, names, users } = subscription;
    this.#subscriptions.delete(this.#key(kind, names[kind]));
    for (const user of [...users]) user.end(error);
  }

  #unsubscribe(subscription) {
    const names = { ...subscription.names };
    // Keys that other views show stay subscribed.
    if (names.keys) {
      names.keys = names.keys.filter((key) => {
        let isShared = false;
        this.#route("keys", "keys", key, (other) => (isShared ||= other !== subscription && other.phase !== LEAVING));
        return !isShared;
      });
    }
    const left = () => {
      subscription.phase = OFF;
      for (const one of this.#subscriptions.values()) this.#sync(one);
    };
    if (names.keys && !names.keys.length) return left();
    subscription.phase = LEAVING;
    this.#leaving++;
    this.#ask({ action: "unsubscribe", ...names }, () => {
      this.#leaving--;
      left();
    });
  }
}
