// README.md is the manual.

export class RTDBError extends Error {
  constructor(code, message, version) {
    super(message);
    Object.assign(this, { name: "RTDBError", code, version });
  }
}

export class Unauthorized extends RTDBError {
  constructor(message = "there is no token") {
    super("unauthorized", message);
  }
}

const PROTOCOL = "rtdb.v1";
const STEP_TIMEOUT = 10_000;
const DOUBT_AFTER = 2_000;

function baseOf(url) {
  if (!/^(http|ws)s?:/.test(url)) throw new TypeError(`connect: ${url} is not a URL like http://localhost:8080`);
  const { protocol, host, pathname } = new URL(url);
  return protocol.replace("ws", "http") + "//" + host + pathname.replace(/(\/ws)?\/*$/, "");
}

const isPattern = (name) => /[+#]/.test(name);
const errorOf = (e) => e && new RTDBError(e.code, e.message, e.version);
const unknown = (why) => new RTDBError("unknown_outcome", why + ": the write may have been made");

function matcher(pattern) {
  const levels = pattern.split("/");
  return (name) => {
    const parts = name.split("/");
    const fits = (level, i) => level === "#" || level === parts[i] || (level === "+" && i in parts);
    return levels.every(fits) && (levels.at(-1) === "#" || levels.length === parts.length);
  };
}

let lastULID = 0n;
function newULID() {
  const [a, b] = crypto.getRandomValues(new BigUint64Array(2));
  const next = (BigInt(Date.now()) << 80n) | (a << 16n) | (b >> 48n);
  lastULID = next > lastULID ? next : lastULID + 1n;
  return lastULID.toString(32).padStart(26, "0").replace(/[i-v]/g, (c) => "jkmnpqrstvwxyz"[parseInt(c, 32) - 18]);
}

class Feed {
  #waiters = [];
  #end;

  constructor(leave, entries) {
    this.leave = leave;
    this.waiting = new Map(entries);
  }

  put(item, key = item) {
    this.waiting.set(key, item);
    this.#give();
  }

  next() {
    return new Promise((...waiter) => {
      this.#waiters.push(waiter);
      this.#give();
    });
  }

  #give() {
    while (this.#waiters.length) {
      const [[key, value] = []] = this.waiting;
      const done = !value;
      if (done && !this.#end) return;
      const [resolve, reject] = this.#waiters.shift();
      this.waiting.delete(key);
      if (done && this.#end.error) reject(this.#end.error);
      else resolve({ value, done });
      if (done) this.#end = {};
    }
  }

  end(error) {
    this.#end ??= { error: error?.code !== "closed" && error };
    this.#give();
  }

  async return() {
    this.waiting.clear();
    this.leave();
    this.end();
    return { done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

const OFF = 0, SUBSCRIBING = 1, ON = 2, LEAVING = 3;

class Subscription {
  phase = OFF;
  stale = true;
  users = new Set();
  entries = new Map();
  changes = [];
  came = new Set();

  constructor(id, kind, name) {
    const keys = kind === "keys" && new Set(name);
    const matches = keys ? (key) => keys.has(key) : matcher(name);
    const isWide = keys ? keys.size !== 1 : kind !== "topic";
    Object.assign(this, { id, kind, names: { [kind]: name }, isWide, matches });
  }

  update(m) {
    const old = this.entries.get(m.key);
    // After a reset versions do not compare.
    const isFirst = this.phase === SUBSCRIBING && !this.came.has(m.key);
    const isOld = old && (isFirst ? m.version === old.version && m.at === old.at : m.version <= old.version);
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

  caughtUp({ revision, epoch, reset }) {
    // If all values came, other keys are gone.
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
  #end;

  constructor(subscription, leave) {
    this.#subscription = subscription;
    this.#leave = leave;
    this.ready = new Promise((...settle) => (this.#settle = settle));
    this.ready.catch(() => {});
  }

  get stale() {
    return !!this.#end || this.#subscription.stale;
  }

  get = (key) => this.#subscription.entries.get(key);
  snapshot = () => (this.#subscription.map ??= new Map(this.#subscription.entries));

  subscribe = (listener) => {
    const entry = (changes) => this.#listeners.has(entry) && listener(changes);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  };

  close() {
    this.#listeners.clear();
    this.end(new RTDBError("closed", "the view is closed"));
  }

  [Symbol.asyncIterator]() {
    const feed = new Feed(() => this.#feeds.delete(feed), this.#end ? [] : this.#subscription.entries);
    if (this.#end) feed.end(this.#end);
    else this.#feeds.add(feed);
    return feed;
  }

  change(m) {
    for (const feed of this.#feeds) feed.put(m, m.key);
  }

  changed(changes) {
    // A listener may throw.
    for (const entry of this.#listeners) queueMicrotask(() => entry(changes));
  }

  caughtUp() {
    this.#settle[0]();
  }

  end(error) {
    if (this.#end) return;
    this.#end = error;
    this.#settle[1](error);
    this.#leave();
    this.changed([]);
    for (const feed of this.#feeds) feed.end(error);
  }
}

class Tail {
  #gap;
  #isLive;

  constructor({ kind, names }, leave) {
    this.topic = names[kind];
    this.feed = new Feed(leave);
  }

  message(m) {
    const { topic, feed } = this;
    const { missed = 1 } = m;
    const isFull = feed.waiting.size >= 1_000 && missed !== true;
    if (isFull && this.#gap) this.#gap.missed += missed;
    else feed.put((this.#gap = isFull && { topic, missed }) || m);
  }

  caughtUp() {
    if (this.#isLive) this.message({ topic: this.topic, missed: true });
    this.#isLive = true;
  }

  end(error) {
    this.feed.end(error);
  }
}

export function connect(url = globalThis.location?.origin, { backoff, ...others } = {}) {
  const base = baseOf(url);
  const {
    token, client: name, WebSocket = globalThis.WebSocket, parse = JSON.parse, stringify = JSON.stringify,
    pingAfter = 25_000, pingTimeout = 8_000, writeTimeout = 10_000, min = 500, max = 20_000,
  } = { ...backoff, ...others };
  const perMinute = Math.max(20, 10_000 / min);
  const client = new EventTarget();
  const life = new AbortController();
  const subscriptions = new Map();
  const wills = new Map();
  const calls = new Map();
  let queue = new Set();
  let lastID = 0, failures = 0, unopened = 0, leaving = 0, renewedAt = 0, openedAt = Infinity, attempts = [];
  let turn; // of an attempt and its link
  let link, timer, reason, lastError, heard, isPinging, isDoubtful, isBehind, sweep;

  const offline = (why) => new RTDBError("offline", `${base}: ${why}`);

  function setState(state) {
    if (state === client.state) return;
    client.state = state;
    refresh();
    client.dispatchEvent(new Event("statechange"));
  }

  function tell(error) {
    if (!error || lastError === String(error)) return;
    lastError = String(error);
    client.dispatchEvent(Object.assign(new Event("error"), { error }));
  }

  function setTimer(ms, f) {
    clearTimeout(timer);
    const due = Date.now() + ms;
    // If it is late, the page slept, and messages may wait.
    timer = setTimeout(() => (Date.now() > due + 1000 ? (timer = setTimeout(f, 1000)) : f()), ms);
  }

  async function begin() {
    const { signal } = (turn = new AbortController());
    attempts = [...attempts, Date.now()].slice(-perMinute);
    setState("connecting");
    try {
      const first = await Promise.resolve().then(token);
      if (signal.aborted) return;
      const socket = WebSocket && (await openSocket(signal).catch(() => {}));
      if (signal.aborted) return socket?.close(4000);
      setTimer(STEP_TIMEOUT, () => lose(offline("no answer in 10 s")));
      if (socket) unopened = 0;
      else {
        const response = await fetch(base + "/healthz", { signal }).catch(() => {});
        const text = await response?.text();
        if (!text || response.status >= 500) throw Error("no answer; does it run and allow this origin?");
        if (!/^{"status":/.test(text)) throw new RTDBError("not_rtdb", `${base} is not rtdb: /healthz answers ${text.slice(0, 80)}`);
        if (WebSocket && ++unopened < 2) throw Error("the WebSocket does not open");
      }
      link = socket || openStreams(signal);
      await greet(first);
      if (signal.aborted) return;
      ping();
      for (const m of wills.values()) ask(m);
      syncAll();
    } catch (error) {
      fail(signal, error);
    }
  }

  async function greet(first) {
    const send = (token) => new Promise((resolve, reject) => {
      ask({ action: "auth", token }, (error, m) => (error ? reject(error) : resolve(m)));
    });
    if (first) {
      const { ended } = await send(first).catch(async (error) => {
        if (error.code !== "unauthorized") throw error;
        return send(await token());
      });
      if (ended) resubscribe();
    }
    if (name) ask({ action: "hello", client: name });
  }

  const openSocket = (signal) => new Promise((resolve) => {
    const socket = new WebSocket(base.replace("http", "ws") + "/ws", [PROTOCOL]);
    const close = (code) => new Promise((settle) => {
      socket.onclose = settle;
      socket.close(code);
      setTimeout(() => settle(socket.terminate?.()), code === 1000 ? DOUBT_AFTER : 0).unref?.();
    });
    const give = (link) => resolve(link || void close(4000));
    setTimer(STEP_TIMEOUT, give);
    signal.addEventListener("abort", () => socket.readyState || give());
    socket.onerror = () => {};
    socket.onclose = () => give();
    socket.onmessage = ({ data }) => take(signal, data);
    socket.onopen = () => {
      socket.onclose = (event) => closed(signal, event);
      give(socket.protocol === PROTOCOL && { close, send: (json) => socket.readyState !== 1 || socket.send(json) });
    };
  });

  // It answers as a WebSocket does.
  function openStreams(turn) {
    let headers, soon, silence, mark;
    const asked = new Set();
    let stream = new AbortController();
    let last = Promise.resolve();
    const answer = (id, reply) => turn.aborted || receive({ ...reply, id });

    const call = (path, init) => fetch(base + path, { signal: turn, headers, ...init });

    async function request({ id, action, key, topic, value, ttl, ifVersion, ...m }) {
      const name = encodeURIComponent(key ?? topic);
      const item = { key, ttl, ifVersion, [action === "set" ? "value" : action]: !/set|patch/.test(action) || value };
      let path = "/data", body = { items: [item] }, reply = {};
      if (action === "auth") headers = { Authorization: "Bearer " + m.token };
      if (action === "will") reply.error = { code: "unsupported", message: "a will needs a WebSocket" };
      if (action === "get") [path, body] = [path + "/" + name];
      if (topic !== undefined) [path, body] = ["/topics/" + name, { value }];
      if (action === "ping") {
        await call("/healthz");
        reply = mark;
      } else if (!/auth|will|hello/.test(action)) {
        const response = await call(path, body && { method: "POST", body: stringify(body) });
        reply = parse(await response.text());
        reply = reply.results?.[0] ?? reply;
        if (!response.ok && !reply.error) throw Error("HTTP status " + response.status);
      }
      answer(id, reply);
      if (headers && reply?.error?.code === "unauthorized") fail(turn, errorOf(reply.error));
    }

    const select = () => (soon ??= setTimeout(() => {
      stream.abort();
      isBehind = undefined;
      resubscribe();
      soon = undefined;
      stream = new AbortController();
      const { signal } = stream;
      if (asked.size) open([...asked], signal).catch((error) => fail(signal, error));
    }));

    const eventsOf = (all, start) => {
      const query = new URLSearchParams({ ...start, protocol: PROTOCOL });
      for (const [kind, names] of all.flatMap(Object.entries)) {
        if (/key|topic|attern/.test(kind)) for (const name of [names].flat()) query.append(kind.replace("keys", "key"), name);
      }
      return "/events?" + query;
    };

    async function open(all, signal) {
      const listen = () => {
        clearTimeout(silence);
        silence = setTimeout(() => lose(offline("the event stream is silent"), signal), 15_000 + pingTimeout);
      };
      const settle = (some, reply) => some.forEach((m) => asked.delete(m) && answer(m.id, reply));
      const [{ since, epoch }] = all;
      const reset = all.some((m) => !m.since || m.since !== since);
      listen();
      const response = await call(eventsOf(all, reset ? { snapshot: true } : { since, epoch }), { signal });
      if (!response.ok) {
        const { error } = parse(await response.text());
        const bad = [];
        for (const m of /400|403/.test(response.status) ? all : []) {
          if (!(await call(eventsOf([m]), { method: "HEAD", signal })).ok) bad.push(m);
        }
        if (!bad.length) throw errorOf(error) ?? Error("HTTP status " + response.status);
        settle(bad, { error });
        return select();
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "", event = {};
      while (!signal.aborted) {
        listen();
        const { done, value } = await reader.read();
        if (done) throw Error("the event stream ended");
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          if (signal.aborted) return;
          const [, field, content] = /^(\w+): (.*)/s.exec(line) ?? [];
          if (field) event[field] = content;
          if (line) continue;
          const { id, data, event: kind } = event;
          event = {};
          if (id) mark = { revision: Number(/\d*$/.exec(id)) };
          if (kind === "synced") settle(all, { reset, ...JSON.parse(data) });
          else if (kind === "end") closed(signal, JSON.parse(data));
          else if (data) take(signal, data);
        }
      }
    }

    turn.addEventListener("abort", () => {
      clearTimeout(soon);
      clearTimeout(silence);
      stream.abort();
    });
    return {
      send(json) {
        const m = parse(json);
        if (m.action === "subscribe") asked.add(m);
        if (m.action === "unsubscribe") queueMicrotask(() => answer(m.id));
        if (/subscribe/.test(m.action)) select();
        else last = last.then(() => request(m)).catch((error) => fail(turn, error));
      },
    };
  }

  function closed(signal, { code, reason }) {
    const kind = { 1008: "refused", 4009: "kicked", 4011: "replaced" }[code];
    const why = `the connection was closed: ${reason} (${code})`;
    lose(kind ? new RTDBError(kind, why) : client.state !== "open" && offline(why), signal, kind, why);
  }

  function fail(signal, error) {
    if (error instanceof SyntaxError) error = new RTDBError("bad_answer", `${base} did not send JSON: ${error.message}`);
    lose(error?.code ? error : offline(error?.message ?? error), signal);
  }

  function lose(error, signal = turn.signal, isPatient, why) {
    if (signal.aborted) return;
    if (Date.now() - openedAt >= 5_000) {
      failures = 0;
      lastError = undefined;
    }
    if (isPatient) failures = 9;
    openedAt = Infinity;
    link?.close?.(4000);
    drop(why);
    tell(error);
    if (error instanceof Unauthorized || error?.code === "replaced") end(error);
    else wait(Math.random() * Math.min(max, min * 2 ** failures++));
  }

  function drop(why = "the connection was lost") {
    turn.abort();
    clearTimeout(timer);
    link = isPinging = isDoubtful = isBehind = undefined;
    leaving = 0;
    const sent = [...calls.values()];
    calls.clear();
    queue = new Set([...sent.filter((call) => call.isWrite === false), ...queue]);
    for (const call of sent) if (call.isWrite) call.done(unknown(why));
    for (const s of subscriptions.values()) {
      s.phase = OFF;
      s.flush();
    }
    syncAll();
  }

  function wait(ms) {
    const left = attempts.at(-perMinute) + 60_000 - Date.now() || 0;
    setTimer(Math.max(ms, Math.min(left, 60_000)), begin);
    setState("waiting");
  }

  function end(error) {
    if (reason) return;
    const old = link;
    reason = error;
    life.abort();
    drop();
    clearTimeout(sweep);
    setState("closed");
    for (const call of queue) call.done(error);
    for (const { users } of subscriptions.values()) for (const user of users) user.end(error);
    subscriptions.clear();
    return old;
  }

  function ping() {
    if (isPinging) return;
    isPinging = true;
    heard = false;
    const doubt = Math.min(DOUBT_AFTER, pingTimeout / 2);
    const check = () => {
      if (isDoubtful && !heard) return lose(offline("no answer to a ping"));
      heard &&= !isDoubtful; // a long snapshot may come before the pong
      isDoubtful = true;
      refresh();
      setTimer(pingTimeout - doubt, check);
    };
    setTimer(doubt, check);
    ask({ action: "ping" }, (error, { revision }) => {
      if (error?.code === "unauthorized") return lose(error);
      isPinging = isDoubtful = false;
      for (const s of subscriptions.values()) if (s.phase === ON && revision > s.revision) s.revision = revision;
      setTimer(pingAfter, ping);
      refresh();
      if (client.state === "open") return;
      openedAt = Date.now();
      setState("open");
      flush();
    });
  }

  function refresh() {
    for (const s of subscriptions.values()) {
      const stale = client.state !== "open" || s.phase !== ON || !!(isDoubtful || isBehind);
      if (stale === s.stale) continue;
      s.stale = stale;
      for (const user of s.users) user.changed?.([]);
    }
  }

  const request = (m, signal, isWrite = true) => new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    if (reason) throw reason;
    const id = ++lastID;
    const call = { id, isWrite, text: stringify({ id, ...m }) };
    const abort = () => call.done(signal.reason);
    signal?.addEventListener("abort", abort);
    const timer = setTimeout(() => {
      const why = `no reply within ${writeTimeout} ms`;
      call.done(queue.has(call) ? offline("no connection: nothing was sent") : isWrite ? unknown(why) : new RTDBError("timeout", why));
    }, writeTimeout);
    call.done = (error, reply) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      queue.delete(call);
      calls.delete(id);
      if (error) reject(error);
      else resolve(reply);
    };
    queue.add(call);
    flush();
    if (m.action === "publish" && queue.has(call)) call.done(offline("no connection: nothing was sent"));
  });

  function flush() {
    for (const call of client.state === "open" ? queue : []) {
      if (link.send(call.text)) return;
      queue.delete(call);
      calls.set(call.id, call);
    }
  }

  function ask(m, done = tell) {
    if (m.keys?.length === 0) return done(undefined, m);
    const id = ++lastID;
    calls.set(id, { done });
    link?.send(stringify({ id, ...m }));
  }

  function take(signal, text) {
    if (signal.aborted) return;
    try {
      receive(Object(parse(text)));
    } catch (error) {
      fail(signal, error);
    }
  }

  function receive(m) {
    heard = true;
    const { id, key, topicPattern, topic = topicPattern, error, action } = m;
    if (id !== undefined) {
      const call = calls.get(Number(id));
      calls.delete(Number(id));
      call?.done(errorOf(error), m);
    } else if (error) tell(errorOf(error));
    else if (key !== undefined) for (const s of matching("keys", "pattern", key)) s.update(m);
    else if (topic !== undefined) {
      m.topic = topic;
      for (const { users } of matching("topic", "topicPattern", topic)) for (const user of users) user.message(m);
    } else if (/stale|fresh/.test(action)) {
      isBehind = action === "stale";
      refresh();
    } else if (action === "auth" && Date.now() - renewedAt >= 5_000) {
      renewedAt = Date.now();
      Promise.resolve().then(token).then(greet).catch((error) => (error instanceof Unauthorized ? lose(error) : tell(error)));
    }
  }

  const write = async (m, { signal, ...options } = {}) => (await request({ ...m, ...options }, signal)).version;

  function matching(kind, wideKind, name) {
    const found = [subscriptions.get(`${kind} ${name}`)];
    for (const s of subscriptions.values()) {
      if (s.isWide && (s.kind === kind || s.kind === wideKind) && s.matches(name)) found.push(s);
    }
    return found.filter((s) => s?.phase);
  }

  function join(User, kind, name, signal) {
    const id = `${kind} ${[name].flat().join("\n")}`;
    const s = subscriptions.get(id) ?? new Subscription(id, kind, name);
    const over = new AbortController();
    const user = new User(s, () => {
      over.abort();
      s.users.delete(user);
      later(); // a view may be opened again at once
    });
    if (reason) user.end(reason);
    else {
      subscriptions.set(id, s);
      s.users.add(user);
      if (s.phase === ON) user.caughtUp();
      sync(s);
    }
    signal?.addEventListener("abort", () => user.close(), over);
    if (signal?.aborted) user.close();
    return user;
  }

  function later(ms) {
    if (reason || (ms && sweep)) return;
    clearTimeout(sweep);
    sweep = setTimeout(() => {
      sweep = undefined;
      syncAll();
    }, ms);
  }

  const syncAll = () => subscriptions.forEach(sync);

  function resubscribe() {
    for (const s of subscriptions.values()) if (s.phase === ON) s.phase = OFF;
    syncAll();
    refresh();
  }

  function sync(s) {
    const { id, names, phase, epoch, revision, users } = s;
    if (!users.size) {
      if (phase === OFF) subscriptions.delete(id);
      if (phase === ON) unsubscribe(s);
    } else if (phase === OFF && link && !leaving) {
      // Updates before an unsubscribe could be taken for its own.
      s.phase = SUBSCRIBING;
      s.came.clear();
      const start = epoch ? { since: revision, epoch } : { snapshot: true };
      ask({ action: "subscribe", ...names, ...start }, (error, m) => {
        if (!error) s.caughtUp(m);
        tell(error);
        refresh();
        if (!error) sync(s);
        else if (/unavailable|limit|internal/.test(error.code)) {
          s.phase = OFF;
          later(1000 + Math.random() * 4000);
        } else {
          subscriptions.delete(id);
          for (const user of users) user.end(error);
        }
      });
    }
  }

  function unsubscribe(s) {
    s.phase = LEAVING;
    s.stale = true;
    leaving++;
    const { ...names } = s.names;
    // Keys that other views show stay subscribed.
    names.keys &&= names.keys.filter((key) => matching("keys", "keys", key).every((other) => other.phase === LEAVING));
    ask({ action: "unsubscribe", ...names }, () => {
      leaving--;
      s.phase = OFF;
      syncAll();
    });
  }

  const wake = () => {
    if (globalThis.document?.hidden) return;
    if (client.state === "waiting") wait(0);
    if (client.state === "open") ping();
  };
  for (const event of ["pageshow", "online", "offline", "visibilitychange"]) globalThis.addEventListener?.(event, wake, life);

  Object.assign(client, {
    ready: (signal) => new Promise((resolve, reject) => {
      const over = new AbortController();
      const check = () => {
        const error = signal?.aborted ? signal.reason : reason;
        if (error) reject(error);
        else if (client.state === "open") resolve();
        else return;
        over.abort();
      };
      client.addEventListener("statechange", check, over);
      signal?.addEventListener("abort", check, over);
      check();
    }),

    get: (key, { signal } = {}) => request({ action: "get", key }, signal, false).then(
      ({ id, ok, ...entry }) => entry, (error) => { if (error?.code !== "not_found") throw error; }),
    set: (key, value, options) => write({ action: "set", key, value }, options),
    patch: (key, value, options) => write({ action: "patch", key, value }, options),
    delete: (key, options) => write({ action: "delete", key }, options),
    touch: (key, ttl, options) => write({ action: "touch", key, ttl }, options),

    async publish(topic, value, options) {
      await write({ action: "publish", topic, value }, options);
    },

    async push(prefix, value, options) {
      const key = prefix.replace(/\/?$/, "/") + newULID();
      await client.set(key, value, { ...options, ifVersion: 0 });
      return key;
    },

    async update(key, change, { tries = 20, ...options } = {}) {
      for (;;) {
        const old = await client.get(key, options);
        const value = await change(old);
        if (value === undefined) return old;
        try {
          return { key, value, version: await client.set(key, value, { ...options, ifVersion: old?.version ?? 0 }) };
        } catch (error) {
          if (error?.code !== "version_mismatch" || --tries <= 0) throw error;
        }
      }
    },

    async will({ key, topic, ...what }) {
      const target = { action: "will", key, topic };
      const id = JSON.stringify(target);
      const m = { ...target, ...what };
      await request(m, undefined, false);
      wills.set(id, m);
      return async () => {
        if (wills.get(id) !== m) return;
        if (link) await request(target, undefined, false);
        if (wills.get(id) === m) wills.delete(id);
      };
    },

    view: (what, { signal } = {}) => Array.isArray(what) || !isPattern(what)
      ? join(View, "keys", [...new Set([what].flat())].sort(), signal) : join(View, "pattern", what, signal),
    topic: (name) => ({ [Symbol.asyncIterator]: () => join(Tail, isPattern(name) ? "topicPattern" : "topic", name).feed }),
    close: async () => { await end(new RTDBError("closed", "the client is closed"))?.close?.(1000); },
  });
  begin();
  return client;
}
