// The client of an rtdb server. README.md is its manual, and rtdb.d.ts documents each call.

export class RTDBError extends Error {
  constructor(code, message, version) {
    super(message);
    Object.assign(this, { name: "RTDBError", code, version });
  }
}

export class Unauthorized extends RTDBError {
  constructor(message = "the token provider has no token") {
    super("unauthorized", message);
  }
}

export const connect = (url = globalThis.location?.origin, options = {}) => new Client(baseOf(url), options);

const PROTOCOL = "rtdb.v1";
const STEP = 10_000; // the deadline of a step of a connect attempt
const STABLE = 5_000; // a link that lived so long resets the back-off
const DOUBT = 2_000; // a ping that waits so long makes the link doubtful
const QUEUE = 1_000; // messages of a topic that wait for a slow reader
const HEARTBEAT = 15_000; // how often an event stream has a comment

function baseOf(url) {
  const { protocol, host, pathname } = new URL(url, globalThis.location?.href);
  if (!/^(http|ws)s?:$/.test(protocol)) throw new TypeError(`connect: ${url} is not an http, https, ws or wss URL`);
  return protocol.replace("ws", "http") + "//" + host + pathname.replace(/(\/ws)?\/*$/, "");
}

const isPattern = (name) => /[+#]/.test(name);
const errorOf = (e) => e && new RTDBError(e.code, e.message, e.version);
const unknown = (why) => new RTDBError("unknown_outcome", why + ": the write may have been made");

function matcher(pattern) {
  const escaped = pattern.replace(/[\\^$.*?()[\]{}|]/g, "\\$&").replace(/\+/g, "[^/]+");
  const expression = RegExp(`^${escaped.replace(/\/#$/, "(/.*)?").replace(/^#$/, ".*")}$`);
  return (name) => expression.test(name);
}

// newID returns a ULID in lower case, above the last one even if the clock goes back.
let lastID = 0n;
function newID() {
  const [a, b] = crypto.getRandomValues(new BigUint64Array(2));
  const fresh = (BigInt(Date.now()) << 80n) | (a << 16n) | (b >> 48n);
  lastID = fresh >> 80n > lastID >> 80n ? fresh : lastID + 1n;
  const crockford = (digit) => "jkmnpqrstvwxyz"[digit.charCodeAt(0) - 105];
  return lastID.toString(32).padStart(26, "0").replace(/[i-v]/g, crockford);
}

// A Feed is an async iterator. take returns the next item, undefined if none waits.
class Feed {
  #waiters = [];
  #end;

  constructor(take, stop) {
    Object.assign(this, { take, stop });
  }

  next() {
    return new Promise((...waiter) => {
      this.#waiters.push(waiter);
      this.wake();
    });
  }

  wake() {
    while (this.#waiters.length) {
      const value = this.take();
      const done = value === undefined;
      if (done && !this.#end) return;
      const [resolve, reject] = this.#waiters.shift();
      if (done && this.#end.error) {
        reject(this.#end.error);
        this.#end = {};
      } else resolve({ value, done });
    }
  }

  end(error) {
    this.#end ??= { error };
    this.wake();
  }

  async return() {
    this.take = () => {};
    this.stop();
    this.end();
    return { done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

const OFF = 0, SUBSCRIBING = 1, ON = 2, LEAVING = 3;

// A Subscription is shared by all views, or all topics, of the same names. Its epoch and revision
// say where to resume.
class Subscription {
  phase = OFF;
  stale = true;
  users = new Set();
  entries = new Map();
  changes = []; // to be announced at once when it has caught up
  came = new Set(); // the keys that came since the subscribe

  constructor(id, kind, name) {
    Object.assign(this, { id, kind, names: { [kind]: name } });
    const keys = kind === "keys" && new Set(name);
    this.isWide = keys ? keys.size !== 1 : kind !== "topic";
    this.matches = keys ? (key) => keys.has(key) : matcher(name);
  }

  update(m, epoch) {
    const old = this.entries.get(m.key);
    // Versions of two epochs do not compare.
    const isOld = old && (epoch === this.epoch || this.came.has(m.key)) && m.version <= old.version;
    if (!m.deleted) this.came.add(m.key);
    if (isOld || (m.deleted && !old)) return;
    this.#change(m);
    if (this.phase === ON) this.flush();
  }

  #change(m) {
    if (!m.deleted) this.entries.set(m.key, m);
    else this.entries.delete(m.key), this.came.delete(m.key);
    this.map = undefined;
    this.changes.push(m);
    for (const user of this.users) user.change(m);
  }

  // caughtUp takes the reply of the subscribe. If all values came, other keys are gone.
  caughtUp({ revision, epoch, reset }) {
    for (const key of reset || !this.epoch ? this.entries.keys() : []) {
      if (!this.came.has(key)) this.#change({ key, value: null, deleted: true });
    }
    Object.assign(this, { phase: ON, revision, epoch });
    this.flush();
    for (const user of this.users) user.caughtUp();
  }

  flush() {
    const { changes } = this;
    this.changes = [];
    this.came.clear();
    if (changes.length) for (const user of this.users) user.changed(changes);
  }
}

class View {
  #subscription;
  #leave;
  #listeners = new Set();
  #feeds = new Set();
  #settle;
  #end; // why it has ended

  constructor(subscription, leave) {
    this.#subscription = subscription;
    this.#leave = leave;
    this.ready = new Promise((...settle) => (this.#settle = settle));
    this.ready.catch(() => {}); // nobody has to wait for it
  }

  get stale() {
    return !!this.#end || this.#subscription.stale;
  }

  get = (key) => this.#subscription.entries.get(key);

  snapshot = () => (this.#subscription.map ??= new Map(this.#subscription.entries));

  subscribe = (listener) => {
    const entry = { listener }; // a listener may subscribe twice
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  };

  close() {
    this.end(new RTDBError("closed", "the view is closed"), true);
  }

  [Symbol.asyncIterator]() {
    const waiting = new Map(this.#end ? [] : this.#subscription.entries);
    const take = () => {
      for (const [key, change] of waiting) return waiting.delete(key) && change;
    };
    const feed = Object.assign(new Feed(take, () => this.#feeds.delete(feed)), { waiting });
    this.#feeds.add(feed);
    if (this.#end) feed.end(this.#end.error);
    return feed;
  }

  // The rest is called by the client.

  change(m) {
    for (const feed of this.#feeds) {
      feed.waiting.set(m.key, m);
      feed.wake();
    }
  }

  changed(changes) {
    // A listener's error is not the client's, so it is thrown elsewhere.
    for (const entry of this.#listeners) queueMicrotask(() => this.#listeners.has(entry) && entry.listener(changes));
  }

  caughtUp() {
    this.#settle[0]();
  }

  end(error, isClose) {
    if (this.#end) return;
    this.#end = { error: isClose ? undefined : error };
    this.#settle[1](error);
    this.#leave();
    if (isClose) this.#listeners.clear();
    this.changed([]); // it is stale
    for (const feed of this.#feeds) feed.end(this.#end.error);
    this.#feeds.clear();
  }
}

// A Tail is one reader of a topic.
class Tail {
  #queue = [];
  #isLive;

  constructor({ names }, leave) {
    this.topic = Object.values(names)[0];
    this.feed = new Feed(() => this.#queue.shift(), leave);
  }

  message(m) {
    const last = this.#queue.at(-1);
    const { missed = 1 } = m;
    if (this.#queue.length < QUEUE || missed === true) this.#queue.push(m);
    else if (last.missed > 0) last.missed += missed;
    else this.#queue.push({ topic: this.topic, missed });
    this.feed.wake();
  }

  caughtUp() {
    if (this.#isLive) this.message({ topic: this.topic, missed: true }); // while there was no link
    this.#isLive = true;
  }

  changed() {}

  end(error, isClose) {
    this.feed.end(isClose ? undefined : error);
  }
}

// A link has send, which reports whether it has sent, and close. What it calls does nothing after
// the turn's end.

// openSocket resolves to nothing if the WebSocket does not open.
const openSocket = ({ base, options, signal, text, closed }) => new Promise((resolve) => {
  const socket = new options.WebSocket(base.replace("http", "ws") + "/ws", [PROTOCOL]);
  const close = (code) => new Promise((settle) => {
    socket.onclose = settle;
    socket.close(code);
    setTimeout(() => settle(socket.terminate?.()), code === 1000 ? DOUBT : 0).unref?.(); // ws waits long for a dead peer
  });
  const give = (link) => {
    clearTimeout(deadline);
    resolve(link || void close(4000));
  };
  const deadline = setTimeout(give, STEP);
  signal.addEventListener("abort", () => socket.readyState || give());
  socket.onerror = () => {};
  socket.onclose = () => give();
  socket.onmessage = ({ data }) => text(data);
  socket.onopen = () => {
    socket.onclose = ({ code, reason }) => closed(code, reason);
    const send = (m, json = options.stringify(m)) => socket.readyState === 1 && (socket.send(json), true);
    give(socket.protocol === PROTOCOL && { send, close });
  };
});

// openStreams answers as a WebSocket does, with one event stream for all subscriptions, and a
// request for each other message, one after the other.
function openStreams({ base, options, signal, text, receive, closed, fail, resubscribe }) {
  let token, soon, silence, mark;
  let asked = []; // subscribes without a reply
  let stream = new AbortController();
  let last = Promise.resolve();

  const call = (path, init) => fetch(base + path, {
    cache: "no-store", signal, headers: token && { Authorization: "Bearer " + token }, ...init,
  });

  async function request({ id, action, key, topic, value, ttl, ifVersion, ...m }) {
    const name = encodeURIComponent(key ?? topic);
    const item = { key, ttl, ifVersion, [action === "set" ? "value" : action]: /set|patch/.test(action) ? value : true };
    let path = "/data", body = { items: [item] }, reply = {};
    if (action === "auth") token = m.token;
    if (action === "will") reply.error = { code: "unsupported", message: "a will needs a WebSocket, and none opens" };
    if (action === "get") [path, body] = [path + "/" + name];
    if (topic !== undefined) [path, body] = ["/topics/" + name, { value }];
    if (action === "ping") {
      await call("/healthz");
      reply = mark;
    } else if (!/auth|will|hello/.test(action)) {
      const response = await call(path, body && { method: "POST", body: options.stringify(body) });
      reply = options.parse(await response.text());
      reply = reply.results?.[0] ?? reply;
    }
    receive({ ...reply, id });
    if (token && reply?.error?.code === "unauthorized") fail(errorOf(reply.error)); // it has expired
  }

  // select opens the stream anew, once for all that is asked in this task.
  const select = () => (soon ??= setTimeout(() => {
    stream.abort();
    resubscribe();
    soon = undefined;
    stream = new AbortController();
    const { signal } = stream;
    if (asked.length) open([...asked], signal).catch((error) => signal.aborted || fail(error));
  }));

  const eventsOf = (subscribes, start) => {
    const query = new URLSearchParams({ ...start, protocol: PROTOCOL });
    for (const { keys = [], pattern = [], topic = [], topicPattern = [] } of subscribes) {
      for (const [kind, names] of Object.entries({ key: keys, pattern, topic, topicPattern })) {
        for (const name of [names].flat()) query.append(kind, name);
      }
    }
    return "/events?" + query;
  };

  async function open(all, signal) {
    const answer = (some, reply) => {
      asked = asked.filter((m) => !some.includes(m));
      for (const { id } of some) receive({ ...reply, id });
    };
    const { since, epoch } = all.find((m) => m.since) ?? {};
    const reset = !since || all.some((m) => m.snapshot || (m.since ?? since) !== since);
    const response = await call(eventsOf(all, reset ? { snapshot: true } : { since, epoch }), { signal });
    if (!response.ok) {
      // Some subscriptions may be refused, or all.
      const { error } = await response.json();
      const bad = [];
      for (const m of /400|403/.test(response.status) ? all : []) {
        if (!(await call(eventsOf([m]), { method: "HEAD", signal })).ok) bad.push(m);
      }
      if (!bad.length) throw errorOf(error);
      answer(bad, { error });
      return select();
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", event = {};
    while (!signal.aborted) {
      clearTimeout(silence);
      silence = setTimeout(() => fail(Error("the event stream is silent")), HEARTBEAT + options.pingTimeout);
      const { done, value } = await reader.read();
      if (done) throw Error("the event stream ended");
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (signal.aborted) return;
        const [, field, content] = /^(\w+): (.*)/.exec(line) ?? [];
        if (field) event[field] = content;
        if (line) continue;
        const { id, data, event: kind } = event;
        event = {};
        const [, epoch, revision] = /(.*)\.(.*)/.exec(id) ?? [];
        if (revision) mark = { epoch, revision: Number(revision) };
        if (kind === "synced") answer(all, { reset, ...JSON.parse(data) });
        else if (kind === "end") closed(JSON.parse(data).code, JSON.parse(data).reason);
        else if (data) text(data, epoch);
      }
    }
  }

  signal.addEventListener("abort", () => {
    clearTimeout(soon);
    clearTimeout(silence);
    stream.abort();
  });
  return {
    close() {},
    send(m) {
      if (m.action === "subscribe") asked.push(m);
      if (m.action === "unsubscribe") queueMicrotask(() => receive({ id: m.id }));
      if (/subscribe/.test(m.action)) select();
      else last = last.then(() => request(m)).catch(fail);
      return true;
    },
  };
}

class Client extends EventTarget {
  #base;
  #options;
  #state = "connecting";
  #reason; // why it is closed
  #turn; // an AbortController: a connect attempt and its link
  #link;
  #timer; // the end of a step, the next ping, or the next attempt
  #attempts = []; // when the last ones began
  #failures = 0; // since a stable link
  #unopened = 0; // WebSockets in a row
  #openedAt = Infinity;
  #lastError;
  #life = new AbortController();
  #lastID = 0;
  #queue = new Set(); // requests that are not sent
  #calls = new Map(); // requests that are sent, by id
  #wills = new Map();
  #subscriptions = new Map();
  #leaving = 0; // unsubscribes without a reply
  #sweep;
  #epoch;
  #heard; // something has come since the ping
  #pinging;
  #doubtful;

  constructor(base, { backoff, ...options }) {
    super();
    this.#base = base;
    this.#options = {
      WebSocket: globalThis.WebSocket, parse: JSON.parse, stringify: JSON.stringify,
      pingAfter: 25_000, pingTimeout: 8_000, writeTimeout: 10_000, min: 500, max: 20_000, ...backoff, ...options,
    };
    const wake = () => {
      if (globalThis.document?.hidden) return;
      if (this.#state === "waiting") this.#wait(0);
      else if (this.#state === "open") this.#ping();
    };
    globalThis.document?.addEventListener("visibilitychange", wake, this.#life);
    for (const event of ["pageshow", "online", "offline"]) globalThis.addEventListener?.(event, wake, this.#life);
    this.#connect();
  }

  get state() {
    return this.#state;
  }

  ready(signal) {
    return new Promise((resolve, reject) => {
      const over = new AbortController();
      const check = () => {
        const error = signal?.aborted ? signal.reason : this.#reason;
        if (error) reject(error);
        else if (this.#state === "open") resolve();
        else return;
        over.abort();
      };
      this.addEventListener("statechange", check, over);
      signal?.addEventListener("abort", check, over);
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

  #write = async (m, { signal, ...options } = {}) => (await this.#request({ ...m, ...options }, signal)).version;
  set = (key, value, options) => this.#write({ action: "set", key, value }, options);
  patch = (key, value, options) => this.#write({ action: "patch", key, value }, options);
  delete = (key, options) => this.#write({ action: "delete", key }, options);
  touch = (key, ttl, options) => this.#write({ action: "touch", key, ttl }, options);

  async publish(topic, value, options) {
    if (this.#state !== "open") throw this.#reason ?? this.#offline("the message was not sent");
    await this.#write({ action: "publish", topic, value }, options);
  }

  async push(prefix, value, options) {
    const key = prefix.replace(/\/?$/, "/") + newID();
    await this.set(key, value, { ...options, ifVersion: 0 });
    return key;
  }

  async update(key, change, { tries = 10, ...options } = {}) {
    for (;;) {
      const old = await this.get(key, options);
      const value = await change(old);
      if (value === undefined) return old;
      try {
        return { key, value, version: await this.set(key, value, { ...options, ifVersion: old?.version ?? 0 }) };
      } catch (error) {
        if (error?.code !== "version_mismatch" || --tries <= 0) throw error;
      }
    }
  }

  async will({ key, topic, ...what }) {
    const target = { action: "will", key, topic };
    const name = JSON.stringify(target);
    const m = { ...target, ...what };
    await this.#request(m, undefined, false);
    this.#wills.set(name, m);
    return async () => {
      if (this.#wills.get(name) !== m) return;
      this.#wills.delete(name);
      if (this.#link) await this.#request(target, undefined, false);
    };
  }

  view(what, { signal } = {}) {
    const list = typeof what === "string" ? [what] : what;
    const isWild = what !== list && isPattern(what);
    return this.#join(View, isWild ? "pattern" : "keys", isWild ? what : [...new Set(list)].sort(), signal);
  }

  topic(name) {
    return { [Symbol.asyncIterator]: () => this.#join(Tail, isPattern(name) ? "topicPattern" : "topic", name).feed };
  }

  async close() {
    await this.#end()?.close(1000);
  }

  #offline(message) {
    return new RTDBError("offline", `${this.#base}: ${message}`);
  }

  #setState(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#refresh();
    this.dispatchEvent(new Event("statechange"));
  }

  #tell(error) {
    if (!error || this.#lastError === String(error)) return; // once, not at each attempt
    this.#lastError = String(error);
    this.dispatchEvent(Object.assign(new Event("error"), { error }));
  }

  #setTimer(ms, f) {
    clearTimeout(this.#timer);
    const due = Date.now() + ms;
    // If it fires late, the page was asleep, and messages may wait behind it.
    this.#timer = setTimeout(() => (Date.now() > due + 1000 ? this.#setTimer(1000, f) : f()), ms);
  }

  async #connect() {
    const { token: provider, WebSocket, min } = this.#options;
    const { signal } = (this.#turn = new AbortController());
    const during = (f) => (...args) => signal.aborted || f.apply(this, args);
    const fail = during(this.#fail);
    const turn = {
      base: this.#base, options: this.#options, signal, fail, text: during(this.#text), receive: during(this.#receive),
      closed: during(this.#closed), resubscribe: during(this.#resubscribe),
    };
    this.#attempts = [...this.#attempts, Date.now()].slice(-Math.max(20, 10_000 / min));
    this.#setState("connecting");
    try {
      const token = await Promise.resolve().then(provider);
      if (signal.aborted) return;
      let link = WebSocket && await openSocket(turn).catch(() => {});
      if (signal.aborted) return link?.close(4000);
      this.#setTimer(STEP, () => fail(Error("no answer within 10 s")));
      if (link) this.#unopened = 0;
      else {
        await this.#checkHealth(signal);
        if (WebSocket && ++this.#unopened < 2) throw Error("the WebSocket does not open");
        link = openStreams(turn);
      }
      this.#link = link;
      await this.#greet(token);
      if (signal.aborted) return;
      this.#ping();
      for (const m of this.#wills.values()) this.#ask(m);
      this.#syncAll();
    } catch (error) {
      fail(error);
    }
  }

  // checkHealth throws if the server does not answer, or is not rtdb.
  async #checkHealth(signal) {
    const response = await fetch(this.#base + "/healthz", { signal, cache: "no-store" }).catch(() => {});
    const text = await response?.text();
    if (!text || response.status >= 500) throw Error("no answer; does the server run, and allow this page's origin?");
    if (!/^{"status":/.test(text)) throw new RTDBError("not_rtdb", `${this.#base} is not an rtdb server: /healthz answers ${text.slice(0, 80)}`);
  }

  // greet sends the token and the client's name.
  async #greet(token) {
    const { token: provider, client } = this.#options;
    const send = (token) => new Promise((resolve, reject) => {
      this.#ask({ action: "auth", token }, (error, m) => (error ? reject(error) : resolve(m)));
    });
    if (token) {
      const { ended } = await send(token).catch(async (error) => {
        if (error.code !== "unauthorized") throw error;
        return send(await provider());
      });
      if (ended) this.#resubscribe(); // what the token does not cover is refused
    }
    if (client) this.#ask({ action: "hello", client }); // again, because the token may be of another subject
  }

  async #renew() {
    try {
      await this.#greet(await Promise.resolve().then(this.#options.token));
    } catch (error) {
      if (error instanceof Unauthorized) this.#lost(error);
      else this.#tell(error);
    }
  }

  #closed(code, reason) {
    const kind = { 1008: "refused", 4009: "kicked", 4011: "replaced" }[code];
    const text = `the connection was closed: ${reason} (${code})`;
    this.#lost(kind ? new RTDBError(kind, text) : this.#state !== "open" && this.#offline(text), kind && 9);
  }

  #fail(error) {
    if (error instanceof SyntaxError) error = new RTDBError("bad_answer", `${this.#base} sent something else than JSON: ${error.message}`);
    this.#lost(error.code ? error : this.#offline(error.message));
  }

  // lost ends the turn, and plans the next attempt.
  #lost(error, failures = 0) {
    if (this.#reason) return;
    const { min, max } = this.#options;
    if (Date.now() - this.#openedAt >= STABLE) {
      this.#failures = 0;
      this.#lastError = undefined;
    }
    this.#openedAt = Infinity;
    this.#failures ||= failures;
    this.#link?.close(4000);
    this.#drop();
    this.#tell(error);
    if (error instanceof Unauthorized || error?.code === "replaced") this.#end(error);
    else this.#wait(Math.random() * Math.min(max, min * 2 ** this.#failures++));
  }

  // drop ends the turn, and what was under way in it. Only reads are sent again.
  #drop() {
    this.#turn.abort();
    clearTimeout(this.#timer);
    this.#link = this.#pinging = this.#doubtful = undefined;
    this.#leaving = 0;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    this.#queue = new Set([...calls.filter((call) => call.isWrite === false), ...this.#queue]);
    for (const call of calls) if (call.isWrite) call.done(unknown("the connection was lost before the reply"));
    for (const s of this.#subscriptions.values()) {
      s.phase = OFF;
      s.flush();
    }
    this.#syncAll();
  }

  // wait plans an attempt. The number of attempts in a minute is bounded, whatever wakes them.
  #wait(ms) {
    const oldest = this.#attempts.at(-Math.max(20, 10_000 / this.#options.min));
    this.#setTimer(Math.max(ms, oldest ? oldest + 60_000 - Date.now() : 0), () => this.#connect());
    this.#setState("waiting");
  }

  #end(error) {
    if (this.#reason) return;
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

  #ping() {
    if (this.#pinging) return;
    this.#pinging = true;
    this.#heard = false;
    const { pingAfter, pingTimeout } = this.#options;
    const doubt = Math.min(DOUBT, pingTimeout / 2);
    const check = () => {
      if (!this.#heard) return this.#lost(this.#offline("no answer to a ping"));
      this.#heard = false; // a long snapshot may come before the pong
      this.#setTimer(pingTimeout, check);
    };
    this.#setTimer(doubt, () => {
      this.#doubtful = true;
      this.#refresh();
      this.#setTimer(pingTimeout - doubt, check);
    });
    this.#ask({ action: "ping" }, (error, { revision, epoch }) => {
      if (error) return this.#lost(error);
      this.#pinging = this.#doubtful = false;
      this.#epoch = epoch;
      for (const s of this.#subscriptions.values()) if (s.phase === ON && revision > s.revision) s.revision = revision;
      this.#setTimer(pingAfter, () => this.#ping());
      this.#refresh();
      if (this.#state === "open") return;
      this.#openedAt = Date.now();
      this.#setState("open");
      this.#flush();
    });
  }

  #refresh() {
    for (const s of this.#subscriptions.values()) {
      const stale = this.#state !== "open" || s.phase !== ON || !!this.#doubtful;
      if (stale === s.stale) continue;
      s.stale = stale;
      for (const user of s.users) user.changed([]);
    }
  }

  #request(m, signal, isWrite = true) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#reason) throw this.#reason;
      const { writeTimeout, stringify } = this.#options;
      const call = { m: { id: ++this.#lastID, ...m }, isWrite };
      call.text = stringify(call.m);
      const abort = () => call.done(signal.reason);
      signal?.addEventListener("abort", abort);
      const timer = setTimeout(() => {
        const why = `no reply within ${writeTimeout} ms`;
        call.done(this.#queue.has(call) ? this.#offline("not connected, so nothing was sent") : isWrite ? unknown(why) : new RTDBError("timeout", why));
      }, writeTimeout);
      call.done = (error, reply) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#queue.delete(call);
        this.#calls.delete(call.m.id);
        if (error) reject(error);
        else resolve(reply);
      };
      this.#queue.add(call);
      this.#flush();
    });
  }

  #flush() {
    for (const call of this.#state === "open" ? this.#queue : []) {
      if (!this.#link.send(call.m, call.text)) return;
      this.#queue.delete(call);
      this.#calls.set(call.m.id, call);
    }
  }

  // ask sends a request of the client's own, which is forgotten with its turn.
  #ask(m, done = (error) => this.#tell(error)) {
    if (m.keys?.length === 0) return done(undefined, m);
    const id = ++this.#lastID;
    this.#calls.set(id, { done });
    this.#link?.send({ id, ...m });
  }

  #text(text, epoch = this.#epoch) {
    this.#epoch = epoch;
    try {
      this.#receive(Object(this.#options.parse(text)));
    } catch (error) {
      this.#fail(error);
    }
  }

  #receive(m) {
    this.#heard = true;
    const { id, key, topic, error, action } = m;
    if (id !== undefined) {
      const call = this.#calls.get(Number(id));
      this.#calls.delete(Number(id));
      call?.done(errorOf(error), m);
    } else if (error) this.#tell(errorOf(error));
    else if (key !== undefined) for (const s of this.#matching("keys", "pattern", key)) s.update(m, this.#epoch);
    else if (topic !== undefined) {
      for (const { users } of this.#matching("topic", "topicPattern", topic)) for (const user of users) user.message(m);
    } else if (action === "auth") this.#renew();
  }

  // matching returns the subscriptions that take a name.
  #matching(kind, wideKind, name) {
    const exact = this.#subscriptions.get(`${kind} ${name}`);
    const found = exact ? [exact] : [];
    for (const s of this.#subscriptions.values()) {
      if (s.isWide && (s.kind === kind || s.kind === wideKind) && s.matches(name)) found.push(s);
    }
    return found.filter((s) => s.phase !== OFF);
  }

  #join(User, kind, name, signal) {
    const id = `${kind} ${[name].flat().join("\n")}`;
    const s = this.#subscriptions.get(id) ?? new Subscription(id, kind, name);
    const over = new AbortController();
    const user = new User(s, () => {
      over.abort();
      s.users.delete(user);
      this.#later(0); // so that a view that is opened again at once costs nothing
    });
    if (this.#reason) user.end(this.#reason);
    else {
      this.#subscriptions.set(id, s);
      s.users.add(user);
      if (s.phase === ON) user.caughtUp();
      this.#sync(s);
    }
    signal?.addEventListener("abort", () => user.close(), over);
    if (signal?.aborted) user.close();
    return user;
  }

  #later(ms) {
    if (this.#reason || (ms && this.#sweep)) return;
    clearTimeout(this.#sweep);
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined;
      this.#syncAll();
    }, ms);
  }

  #syncAll() {
    for (const s of this.#subscriptions.values()) this.#sync(s);
  }

  #resubscribe() {
    for (const s of this.#subscriptions.values()) if (s.phase === ON) s.phase = OFF;
    this.#syncAll();
    this.#refresh();
  }

  // sync brings a subscription to where its users want it.
  #sync(s) {
    const { id, kind, names, phase, epoch, revision, users } = s;
    if (!users.size) {
      if (phase === OFF) this.#subscriptions.delete(id);
      else if (phase === ON) this.#unsubscribe(s);
    } else if (phase === OFF && this.#link && !this.#leaving) {
      // While an unsubscribe is under way, its last updates could be taken for this one's.
      s.phase = SUBSCRIBING;
      const start = /topic/.test(kind) ? {} : epoch ? { since: revision, epoch } : { snapshot: true };
      this.#ask({ action: "subscribe", ...names, ...start }, (error, m) => {
        if (!error) s.caughtUp(m);
        this.#tell(error);
        this.#refresh();
        if (!error) this.#sync(s);
        else if (/unavailable|limit|internal/.test(error.code)) {
          s.phase = OFF;
          this.#later(1000 + Math.random() * 4000);
        } else {
          this.#subscriptions.delete(id);
          for (const user of users) user.end(error);
        }
      });
    }
  }

  #unsubscribe(s) {
    s.phase = LEAVING;
    s.stale = true;
    this.#leaving++;
    const { ...names } = s.names;
    // Keys that other views show stay subscribed.
    names.keys &&= names.keys.filter((key) => this.#matching("keys", "keys", key).every((other) => other.phase === LEAVING));
    this.#ask({ action: "unsubscribe", ...names }, () => {
      this.#leaving--;
      s.phase = OFF;
      this.#syncAll();
    });
  }
}
