// Requests: each settles, none is repeated silently.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { RTDBError } from "../rtdb.js";
import { later, outcome, pass, refuse, settle, silent, start, stop, timersLeft } from "./fake.mjs";

let server;
beforeEach(() => (server = start()));
afterEach(stop);

describe("every promise settles", () => {
  test("a request that is not sent waits until writeTimeout, and rejects with offline", async () => {
    server.opening = "refuse";
    const client = server.connect({ writeTimeout: 3_000 });
    const requests = [client.get("a"), client.set("a", 1), client.patch("a", {}), client.delete("a"), client.touch("a", 1),
      client.update("a", () => 1), client.push("a", 1), client.will({ key: "a", value: 1 })].map(later);
    await pass(2_900);
    for (const request of requests) assert.equal(await outcome(request), "pending");
    await pass(200);
    for (const request of requests) assert.equal(await outcome(request), "offline");
    server.opening = "open";
    await pass(20_000);
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["ping"], "and is not sent later");
  });

  test("requests that wait are sent when the link is there, in order", async () => {
    const client = server.connect();
    const results = Promise.all([client.set("a", 1), client.set("b", 2), client.delete("a"), client.get("b")]);
    assert.equal(server.sockets.length, 0);
    assert.deepEqual((await results).slice(0, 3), [101, 102, 103]);
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["ping", "set", "set", "delete", "get"]);
  });

  test("requests are pipelined: none waits for the reply of another", async () => {
    server.replies.set = silent;
    const client = await server.opened();
    for (let i = 0; i < 5; i++) later(client.set("a", i));
    assert.equal(server.socket.asked("set").length, 5);
  });

  test("a write that was sent and lost its link rejects with unknown_outcome, and is never repeated", async () => {
    server.replies = { set: silent, delete: silent, publish: silent };
    const client = await server.opened();
    const requests = [client.set("a", 1), client.delete("a"), client.publish("t", 1)].map(later);
    await settle();
    server.socket.drop();
    for (const request of requests) assert.equal(await outcome(request), "unknown_outcome");
    await pass(10_000);
    assert.equal(client.state, "open");
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["ping"]);
  });

  test("a read that was sent and lost its link is sent again", async () => {
    server.replies.get = silent;
    const client = await server.opened();
    const reads = [client.get("a"), client.get("b")];
    await settle();
    server.socket.drop();
    const write = client.set("a", 1);
    server.replies.get = (m) => ({ key: m.key, value: 7, version: 9, at: 5, expires_in: 1.5 });
    await pass(1_000);
    assert.deepEqual(await reads[0], { key: "a", value: 7, version: 9, at: 5, expires_in: 1.5 });
    assert.equal((await reads[1]).key, "b");
    assert.equal(await write, 101);
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["ping", "get", "get", "set"], "before the later requests");
  });

  test("a request that was sent and is not answered within writeTimeout rejects: a write with unknown_outcome, a read with timeout", async () => {
    server.replies = { set: silent, get: silent };
    const client = await server.opened();
    const [write, read] = [later(client.set("a", 1)), later(client.get("a"))];
    await pass(9_900);
    assert.equal(await outcome(write), "pending");
    await pass(200);
    assert.deepEqual([await outcome(write), await outcome(read)], ["unknown_outcome", "timeout"]);
    const { id } = server.socket.asked("set")[0];
    server.socket.receive({ id, ok: true, version: 1 });
    assert.equal(client.state, "open", "a late reply harms nobody");
  });

  test("a request of a closed client, or one that is closed meanwhile, rejects with closed or unknown_outcome", async () => {
    server.replies.set = silent;
    const client = await server.opened();
    const sent = later(client.set("a", 1));
    await client.close();
    assert.equal(await outcome(sent), "unknown_outcome");
    for (const make of [() => client.get("a"), () => client.set("a", 1), () => client.publish("a", 1), () => client.ready()]) {
      assert.equal(await outcome(make()), "closed");
    }
  });

  test("no timer is left when all is settled and closed", async () => {
    const client = await server.opened();
    await Promise.all([client.set("a", 1), client.get("a"), client.view("a/#").ready]);
    later(client.set("b", 1));
    server.replies.set = silent;
    later(client.set("b", 2));
    await client.close();
    await pass(3_000);
    assert.equal(timersLeft(), 0);
  });

  test("topics are never queued while offline", async () => {
    const client = server.connect();
    assert.equal(await outcome(client.publish("chat", "hi")), "offline");
    await pass(1_000);
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["ping"]);
    await client.publish("chat", "hi");
    assert.equal(server.socket.asked("publish").length, 1);
  });
  test("a message for a topic is not kept while the link closes", async () => {
    const client = await server.opened();
    server.socket.readyState = 2;
    const request = later(client.publish("chat", "hi"));
    assert.equal(await outcome(request), "offline");
    server.socket.drop();
    await pass(1_000);
    assert.deepEqual(server.socket.asked("publish"), []);
  });
});

describe("AbortSignal", () => {
  test("ends a request that waits, and it is not sent", async () => {
    server.opening = "hang";
    const client = server.connect();
    const abort = new AbortController();
    const request = later(client.set("a", 1, { signal: abort.signal }));
    abort.abort(new RTDBError("timeout", "too long"));
    assert.equal(await outcome(request), "timeout");
    server.socket.open();
    await settle();
    assert.deepEqual(server.socket.asked("set"), []);
  });

  test("ends a request that was sent; its reply is ignored", async () => {
    server.replies.get = silent;
    const client = await server.opened();
    const abort = new AbortController();
    const request = later(client.get("a", { signal: abort.signal }));
    abort.abort(new RTDBError("timeout", "too long"));
    assert.equal(await outcome(request), "timeout");
    server.socket.receive({ id: server.socket.asked("get")[0].id, ok: true, key: "a", value: 1, version: 1 });
    assert.equal(client.state, "open");
    assert.deepEqual(client.errors, []);
  });

  test("that is aborted already sends nothing", async () => {
    const client = await server.opened();
    const signal = AbortSignal.abort(new RTDBError("timeout", "too long"));
    for (const request of [client.get("a", { signal }), client.set("a", 1, { signal }), client.delete("a", { signal }),
      client.push("a", 1, { signal }), client.update("a", () => 1, { signal }), client.publish("t", 1, { signal })].map(later)) {
      assert.equal(await outcome(request), "timeout");
    }
    assert.equal(server.socket.sent.length, 1);
  });

  test("keeps no listener after its requests and views", async () => {
    const client = await server.opened();
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (type, f, options) => {
      listeners++;
      addEventListener.call(signal, type, f, options);
    };
    signal.removeEventListener = (...args) => { // also called for the signal among the options
      listeners--;
      removeEventListener.apply(signal, args);
    };
    await client.set("a", 1, { signal });
    await client.get("a", { signal });
    await client.ready(signal);
    client.view("a", { signal }).close();
    assert.equal(listeners, 0);
  });
});

describe("calls", () => {
  test("send the messages of the protocol, and resolve to the version", async () => {
    const client = await server.opened();
    assert.equal(await client.set("a", null, { ttl: 5, ifVersion: 0 }), 101);
    assert.equal(await client.patch("a", { b: 1 }, { ifVersion: 101 }), 102);
    assert.equal(await client.touch("a", 9), 103);
    assert.equal(await client.delete("a", { ifVersion: 102 }), 104);
    assert.equal(await client.publish("t", 1), undefined);
    const sent = server.socket.sent.slice(1).map(({ id, ...m }) => m);
    assert.deepEqual(sent, [
      { action: "set", key: "a", value: null, ttl: 5, ifVersion: 0 },
      { action: "patch", key: "a", value: { b: 1 }, ifVersion: 101 },
      { action: "touch", key: "a", ttl: 9 },
      { action: "delete", key: "a", ifVersion: 102 },
      { action: "publish", topic: "t", value: 1 },
    ]);
  });

  test("reject with the server's code, message and current version", async () => {
    server.replies.set = refuse("version_mismatch", { version: 7 });
    const client = await server.opened();
    await assert.rejects(client.set("a", 1, { ifVersion: 6 }), (error) => {
      assert.ok(error instanceof RTDBError && error instanceof Error);
      assert.deepEqual([error.name, error.code, error.version, error.message], ["RTDBError", "version_mismatch", 7, "this is version_mismatch"]);
      return true;
    });
  });

  test("a value that cannot be JSON rejects its caller alone", async () => {
    const client = await server.opened();
    const loop = {};
    loop.loop = loop;
    assert.equal(await outcome(client.set("a", loop)), "TypeError");
    assert.equal(await outcome(client.set("a", 1n)), "TypeError");
    assert.equal(await client.set("a", 1), 101);
  });

  test("get of a missing key is undefined", async () => {
    const client = await server.opened();
    assert.equal(await client.get("a"), undefined);
  });

  test("parse and stringify handle whole messages", async () => {
    const parse = (text) => JSON.parse(text.replace(/"value":(\d+)/g, '"value":"big:$1"'), (_, v) => (/^big:/.test(v) ? BigInt(v.slice(4)) : v));
    const stringify = (m) => JSON.stringify(m, (_, v) => (typeof v === "bigint" ? `big:${v}` : v)).replace(/"big:(\d+)"/g, "$1");
    server.replies.get = (m, _, socket) => void queueMicrotask(() => socket.receive(`{"id":${m.id},"ok":true,"key":"a","value":12345678901234567890,"version":1}`));
    const client = await server.opened({ parse, stringify });
    const texts = [];
    const { send } = server.socket;
    server.socket.send = (text) => (texts.push(text), send.call(server.socket, text));
    await client.set("a", 12345678901234567890n);
    assert.match(texts[0], /"value":12345678901234567890\b/);
    assert.equal((await client.get("a")).value, 12345678901234567890n);
  });
});

describe("update", () => {
  test("writes the function's result for the old entry, if nobody else has written", async () => {
    server.replies.get = () => ({ key: "a", value: 1, version: 50 });
    const client = await server.opened();
    const entry = await client.update("a", (old) => old.value + 1);
    assert.deepEqual(entry, { key: "a", value: 2, version: 101 });
    assert.deepEqual(server.socket.asked("set").map((m) => [m.value, m.ifVersion]), [[2, 50]]);
  });

  test("tries again on version_mismatch, up to tries", async () => {
    let version = 50;
    server.replies.get = () => ({ key: "a", value: version, version });
    server.replies.set = (m) => (version++ < 52 ? refuse("version_mismatch", { version })() : { version });
    const client = await server.opened();
    assert.equal((await client.update("a", (old) => old.value + 1)).value, 53);
    version = 0;
    assert.equal(await outcome(client.update("a", () => 1, { tries: 3 })), "version_mismatch");
    assert.equal(server.socket.asked("set").length, 3 + 3);
  });

  test("of a missing key makes it, with version 0 as the condition", async () => {
    const client = await server.opened();
    await client.update("a", (old) => [old], { ttl: 3 });
    const [{ value, ifVersion, ttl }] = server.socket.asked("set");
    assert.deepEqual([value, ifVersion, ttl], [[null], 0, 3]);
  });

  test("writes nothing if the function returns undefined or throws, and other errors are the caller's", async () => {
    server.replies.get = () => ({ key: "a", value: 1, version: 50 });
    const client = await server.opened();
    assert.equal((await client.update("a", () => {})).version, 50);
    await assert.rejects(client.update("a", () => { throw RangeError("mine"); }), RangeError);
    await assert.rejects(client.update("a", async () => { throw RangeError("mine"); }), RangeError);
    assert.deepEqual(server.socket.asked("set"), []);
    server.replies.set = refuse("forbidden");
    assert.equal(await outcome(client.update("a", () => 1)), "forbidden");
  });
});

describe("push", () => {
  test("makes keys that sort by time, also within a millisecond and if the clock goes back", async () => {
    const client = await server.opened();
    const keys = [];
    const now = Date.now();
    for (const time of [0, 0, 0, 1, 1, -5000, -5000, 2, 100]) {
      Date.now = () => now + time;
      keys.push(await client.push("log", time));
    }
    assert.deepEqual(keys, [...keys].sort());
    assert.equal(new Set(keys).size, keys.length);
    for (const key of keys) assert.match(key, /^log\/[0-7][0-9a-hjkmnp-tv-z]{25}$/);
    assert.deepEqual(server.socket.asked("set").map((m) => m.ifVersion), keys.map(() => 0));
    const time = [...keys[0].slice(4, 14)].reduce((sum, c) => sum * 32 + "0123456789abcdefghjkmnpqrstvwxyz".indexOf(c), 0);
    assert.equal(time, now, "the first ten characters are the milliseconds");
  });

  test("takes a prefix with or without a slash at its end, and a ttl", async () => {
    const client = await server.opened();
    assert.match(await client.push("a/b/", 1, { ttl: 60 }), /^a\/b\/[^/]+$/);
    assert.equal(server.socket.asked("set")[0].ttl, 60);
  });
});

describe("wills", () => {
  test("are left again after each reconnect, behind hello, and can be withdrawn", async () => {
    const client = await server.opened({ client: "c" });
    const withdraw = await client.will({ key: "a", value: "gone", ttl: 5, ifVersion: 3 });
    await client.will({ topic: "t", value: "bye" });
    await client.will({ key: "b", delete: true });
    server.socket.drop();
    await pass(1_000);
    assert.deepEqual(server.socket.sent.map(({ id, ...m }) => m), [
      { action: "hello", client: "c" }, { action: "ping" },
      { action: "will", key: "a", value: "gone", ttl: 5, ifVersion: 3 },
      { action: "will", topic: "t", value: "bye" }, { action: "will", key: "b", delete: true },
    ]);
    await withdraw();
    const { id, ...last } = server.socket.sent.at(-1);
    assert.deepEqual(last, { action: "will", key: "a" });
    await withdraw();
    server.socket.drop();
    await pass(1_000);
    assert.equal(server.socket.asked("will").length, 2);
  });

  test("a newer will of the same name replaces the older, whose withdrawal does nothing", async () => {
    const client = await server.opened();
    const withdraw = await client.will({ key: "a", value: 1 });
    await client.will({ key: "a", value: 2 });
    await withdraw();
    server.socket.drop();
    await pass(1_000);
    assert.deepEqual(server.socket.asked("will").map((m) => m.value), [2]);
  });

  test("a withdrawal that fails can be tried again", async () => {
    const client = await server.opened();
    const withdraw = await client.will({ key: "a", value: 1 });
    server.replies.will = refuse("rate_limited");
    assert.equal(await outcome(withdraw()), "rate_limited");
    server.replies = {};
    await withdraw();
    await withdraw();
    assert.deepEqual(server.socket.asked("will").map((m) => m.value), [1, undefined, undefined]);
    server.socket.drop();
    await pass(1_000);
    assert.deepEqual(server.socket.asked("will"), []);
  });

  test("a will that is refused rejects, and one that is refused after a reconnect is told", async () => {
    server.replies.will = refuse("forbidden");
    const client = await server.opened();
    assert.equal(await outcome(client.will({ key: "a", value: 1 })), "forbidden");
    server.replies = {};
    await client.will({ key: "a", value: 1 });
    server.replies.will = refuse("forbidden");
    server.socket.drop();
    await pass(1_000);
    assert.deepEqual(client.errors.map((e) => e.code), ["forbidden"]);
  });
});
