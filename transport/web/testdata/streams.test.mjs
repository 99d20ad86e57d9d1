// The fallback: event streams by fetch, and REST.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { later, outcome, pass, refuse, settle, start, stop } from "./fake.mjs";

let server;
let calls; // [method, path and query, headers, body]
let streams; // those that are open
let replies; // by method and path: [status, body]
let sendWith; // the status of a stream that is refused, and its error

beforeEach(() => {
  server = start();
  calls = [];
  streams = [];
  replies = {};
  sendWith = undefined;
  server.fetch = async (url, { method = "GET", headers, body, signal } = {}) => {
    if (signal?.aborted) throw signal.reason;
    const { pathname, search, searchParams } = new URL(url);
    calls.push([method, decodeURIComponent(pathname) + decodeURIComponent(search), headers, body && JSON.parse(body)]);
    if (pathname === "/healthz") return new Response('{"status":"ok"}');
    if (pathname !== "/events") {
      const [status, text] = replies[`${method} ${pathname}`] ?? [200, '{"results":[{"key":"a","version":7}]}'];
      return new Response(status === 204 ? null : text, { status });
    }
    const refused = sendWith?.(searchParams);
    if (refused) return new Response(method === "HEAD" ? null : JSON.stringify({ error: refused }), { status: refused.status });
    let controller;
    const stream = new ReadableStream({ start: (c) => (controller = c) });
    const one = {
      query: searchParams,
      say: (text) => controller.enqueue(new TextEncoder().encode(text)),
      event: (data, id, event) => one.say(`${id ? `id: ${id}\n` : ""}${event ? `event: ${event}\n` : ""}data: ${JSON.stringify(data)}\n\n`),
      synced: (revision, more) => one.event({ synced: true, revision, epoch: "e1", ...more }, `e1.${revision}`, "synced"),
      end: () => controller.close(),
    };
    signal?.addEventListener("abort", () => {
      one.isAborted = true;
      controller.error(signal.reason);
    });
    streams.push(one);
    return new Response(stream);
  };
});
afterEach(stop);

const fallback = (options) => server.opened({ WebSocket: null, ...options });
const events = () => calls.filter(([, path]) => path.startsWith("/events")).map(([, path]) => path);

describe("the fallback", () => {
  test("is used if two WebSockets in a row do not open while HTTP answers, and a WebSocket is tried at a later reconnect", async () => {
    server.opening = "refuse";
    const client = server.connect();
    await pass(2_000);
    assert.equal(client.state, "open");
    assert.equal(server.sockets.length, 2);
    const view = client.view("a/#");
    await pass(10);
    streams[0].synced(5);
    await settle();
    assert.equal(view.stale, false);
    server.opening = "open";
    streams[0].end();
    await pass(2_000);
    assert.equal(server.sockets.length, 3);
    assert.equal(server.socket.asked("subscribe")[0].since, 5, "it resumes on the WebSocket");
    assert.equal(client.state, "open");
  });

  test("is not used if HTTP does not answer either", async () => {
    server.opening = "refuse";
    server.fetch = undefined;
    const client = server.connect();
    await pass(30_000);
    assert.notEqual(client.state, "open");
    server.opening = "open";
    await pass(20_000);
    assert.equal(client.state, "open");
    assert.equal(server.socket.readyState, 1);
  });

  test("has one stream for all views and topics, which is opened anew if they change", async () => {
    const client = await fallback();
    const [a, b] = [client.view("a/#"), client.view(["x", "y"])];
    const loop = client.topic("chat/+")[Symbol.asyncIterator]();
    await pass(10);
    assert.deepEqual(events(), ["/events?snapshot=true&protocol=rtdb.v1&pattern=a/#&key=x&key=y&topicPattern=chat/+"]);
    streams[0].event({ key: "a/1", value: 1, version: 3, at: 3 }, "e1.0");
    streams[0].synced(5);
    await settle();
    assert.deepEqual([a.stale, b.stale, a.get("a/1").value], [false, false, 1]);
    streams[0].event({ topic: "chat/1", value: "hi" }, "e1.6");
    assert.deepEqual((await loop.next()).value, { topic: "chat/1", value: "hi" });
    client.view("z");
    await pass(10);
    assert.equal(streams.length, 2);
    assert.equal(streams[0].isAborted, true);
    assert.equal(streams[1].query.get("snapshot"), "true");
    assert.equal(a.stale, true);
    streams[1].synced(9);
    await settle();
    assert.deepEqual([a.snapshot().size, a.stale], [0, false], "keys that did not come again are gone");
  });

  test("resumes a stream whose selection has not grown", async () => {
    const client = await fallback({ pingAfter: 1_000 });
    client.view("a/#");
    const b = client.view("b/#");
    await pass(10);
    streams[0].synced(5);
    await settle();
    streams[0].event({ key: "a/1", value: 1, version: 8, at: 8 }, "e1.8");
    await pass(1_100);
    streams[0].end();
    await pass(1_000);
    assert.deepEqual([streams[1].query.get("since"), streams[1].query.get("epoch"), streams[1].query.get("snapshot")], ["8", "e1", null]);
    streams[1].synced(9);
    await settle();
    b.close();
    await pass(300);
    assert.deepEqual([streams[2].query.getAll("pattern"), streams[2].query.get("since")], [["a/#"], "9"]);
  });

  test("keeps an event that comes in pieces, and ignores comments", async () => {
    const client = await fallback();
    const view = client.view("a/#");
    await pass(10);
    for (const piece of ["retry: 1000\n\n:\n", "\nid: e1.0\nda", 'ta: {"key":"a/1","value":"ä', '€","version":3}\n', "\nid: e1.5\nevent: synced\n"]) {
      streams[0].say(piece);
      await settle();
    }
    streams[0].say('data: {"synced":true,"revision":5,"epoch":"e1"}\n\n');
    await settle();
    assert.deepEqual([view.get("a/1").value, view.stale], ["ä€", false]);
  });

  test("keeps the line separators of Unicode in a value", async () => {
    const client = await fallback();
    const view = client.view("a/#");
    await pass(10);
    streams[0].event({ key: "a/1", value: "x\u2028y\u2029z", version: 3 }, "e1.0");
    streams[0].synced(5);
    await settle();
    assert.deepEqual([view.get("a/1")?.value, client.errors], ["x\u2028y\u2029z", []]);
  });

  test("writes and reads by REST, in order, with the token in a header and nowhere else", async () => {
    replies = {
      "GET /data/a%2Fb%3F": [200, '{"key":"a/b?","value":1,"version":4,"at":5}'],
      "GET /data/none": [404, '{"error":{"code":"not_found","message":"no"}}'], "POST /topics/t": [202, '{"topic":"t"}'],
    };
    const client = await fallback({ token: () => "secret", client: "c" });
    calls = [];
    const results = await Promise.all([client.set("a", 1, { ttl: 5, ifVersion: 0 }), client.patch("a", { b: null }), client.delete("a", { ifVersion: 3 }),
      client.touch("a", 9), client.get("a/b?"), client.get("none"), client.publish("t", null), client.set("a", undefined)]);
    assert.deepEqual(results, [7, 7, 7, 7, { key: "a/b?", value: 1, version: 4, at: 5 }, undefined, undefined, 7]);
    assert.deepEqual(calls.map(([method, path, , body]) => [method, path, body]), [
      ["POST", "/data", { items: [{ key: "a", ttl: 5, ifVersion: 0, value: 1 }] }],
      ["POST", "/data", { items: [{ key: "a", patch: { b: null } }] }],
      ["POST", "/data", { items: [{ key: "a", ifVersion: 3, delete: true }] }],
      ["POST", "/data", { items: [{ key: "a", ttl: 9, touch: true }] }],
      ["GET", "/data/a/b?", undefined], ["GET", "/data/none", undefined], ["POST", "/topics/t", { value: null }],
      ["POST", "/data", { items: [{ key: "a" }] }],
    ]);
    for (const [, path, headers] of calls) {
      assert.equal(headers.Authorization, "Bearer secret");
      assert.doesNotMatch(path, /secret/);
    }
  });

  test("sends no value in place of undefined", async () => {
    const client = await fallback();
    calls = [];
    await Promise.all([client.set("a", undefined), client.patch("a", undefined)]);
    assert.deepEqual(calls.map(([, , , body]) => body), [{ items: [{ key: "a" }] }, { items: [{ key: "a" }] }]);
  });

  test("rejects with the error of an item, and refuses wills", async () => {
    replies["POST /data"] = [200, '{"results":[{"key":"a","error":{"code":"version_mismatch","message":"no","version":3}}]}'];
    const client = await fallback();
    await assert.rejects(client.set("a", 1, { ifVersion: 2 }), { code: "version_mismatch", version: 3 });
    assert.equal(await outcome(client.will({ key: "a", value: 1 })), "unsupported");
  });

  test("rejects a write with unknown_outcome if the answer is not JSON or does not come", async () => {
    const client = await fallback();
    replies["POST /data"] = [502, "<html>bad gateway</html>"];
    assert.equal(await outcome(client.set("a", 1)), "unknown_outcome");
    assert.deepEqual(client.errors.map((e) => e.code), ["bad_answer"]);
    await pass(2_000);
    const { fetch } = server;
    server.fetch = (url, init) => (url.endsWith("/data") ? Promise.reject(new TypeError("fetch failed")) : fetch(url, init));
    assert.equal(await outcome(client.set("a", 1)), "unknown_outcome");
  });

  test("takes an error of a proxy, whose JSON has another form, as an error", async () => {
    const client = await fallback();
    replies["POST /data"] = [403, '{"message":"Forbidden"}'];
    assert.equal(await outcome(client.set("a", 1)), "unknown_outcome");
    assert.match(client.errors[0].message, /HTTP status 403/);
    await pass(1_000);
    const { fetch } = server;
    server.fetch = (url, init) => (url.includes("/events") ? new Response('{"message":"no route"}', { status: 502 }) : fetch(url, init));
    const view = client.view("a/#");
    await pass(1_000);
    assert.match(client.errors[1].message, /HTTP status 502/);
    server.fetch = fetch;
    await pass(5_000);
    streams.at(-1).synced(5);
    await settle();
    assert.equal(view.stale, false);
  });

  test("finds out which view the server refuses; the others go on", async () => {
    sendWith = (query) => (query.getAll("pattern").includes("secret/#") ? { status: 403, code: "forbidden", message: "no" } : undefined);
    const client = await fallback();
    const [good, bad] = [client.view("a/#"), client.view("secret/#")];
    await pass(300);
    assert.equal(await outcome(bad.ready), "forbidden");
    assert.equal(client.state, "open");
    assert.deepEqual(streams.at(-1).query.getAll("pattern"), ["a/#"]);
    streams.at(-1).synced(5);
    await settle();
    assert.equal(good.stale, false);
  });

  test("waits with its back-off if the stream is refused for a while, and asks for a token if that has expired", async () => {
    let asked = 0;
    let status = 503;
    sendWith = () => (status ? { status, code: status === 503 ? "unavailable" : "unauthorized", message: "no" } : undefined);
    const client = await fallback({ token: () => `t${++asked}` });
    client.view("a/#");
    await pass(60_000);
    assert.ok(events().length <= 21, `${events().length} attempts`);
    assert.deepEqual(client.errors.map((e) => e.code), ["unavailable"]);
    status = 401;
    const before = asked;
    await pass(30_000);
    assert.ok(asked > before);
    status = 0;
    await pass(25_000);
    assert.equal(client.state, "open");
  });

  test("obeys the end of a stream as that of a WebSocket", async () => {
    const client = await fallback();
    client.view("a/#");
    await pass(10);
    streams[0].event({ reason: "kicked", code: 4009 }, undefined, "end");
    await settle();
    assert.equal(client.state, "waiting");
    assert.deepEqual(client.errors.map((e) => e.code), ["kicked"]);
  });

  test("gives up a stream that is silent, and one whose /healthz does not answer", async () => {
    const client = await fallback();
    const view = client.view("a/#");
    await pass(10);
    streams[0].synced(5);
    for (let i = 0; i < 4; i++) {
      await pass(15_000);
      streams[0].say(":\n\n");
    }
    await settle();
    assert.equal(view.stale, false);
    await pass(22_900);
    assert.equal(streams.length, 1);
    await pass(3_000);
    assert.equal(streams.length, 2);
    const { fetch } = server;
    server.fetch = (url, init) => (url.endsWith("/healthz") ? new Promise(() => {}) : fetch(url, init));
    await pass(34_000);
    assert.notEqual(client.state, "open");
  });

  test("does not give up if a stream that no view needs any more is silent", async () => {
    const client = await fallback();
    const view = client.view("a/#");
    await pass(10);
    streams[0].synced(5);
    await settle();
    view.close();
    await pass(60_000);
    assert.deepEqual([client.state, client.errors], ["open", []]);
  });

  test("gives up a stream that does not begin", async () => {
    const client = await fallback();
    const { fetch } = server;
    server.fetch = (url, init) => (url.includes("/events") ? new Promise(() => {}) : fetch(url, init));
    const view = client.view("a/#");
    await pass(24_000);
    assert.deepEqual(client.errors.map((e) => e.code), ["offline"]);
    server.fetch = fetch;
    await pass(30_000);
    streams.at(-1).synced(5);
    await settle();
    assert.equal(view.stale, false);
  });

  test("is stale while the server says that it is behind the other nodes", async () => {
    const client = await fallback();
    const view = client.view("a");
    await pass(10);
    streams[0].event({ action: "stale", since_ms: 10 }, undefined, "stale");
    streams[0].synced(5);
    assert.equal(await outcome(view.ready), "resolved");
    assert.equal(view.stale, true);
    streams[0].event({ action: "fresh" }, undefined, "fresh");
    await settle();
    assert.equal(view.stale, false);
    streams[0].event({ action: "stale", since_ms: 10 }, undefined, "stale");
    client.view("b"); // the next stream says nothing: the server has caught up meanwhile
    await pass(10);
    streams[1].synced(6);
    await settle();
    assert.equal(view.stale, false);
  });

  test("leaves nothing behind when it is closed", async () => {
    const client = await fallback();
    client.view("a/#");
    const request = later(client.set("a", 1));
    await pass(10);
    await client.close();
    assert.equal(streams[0].isAborted, true);
    const count = calls.length;
    await pass(60_000);
    assert.equal(calls.length, count);
    assert.equal(await outcome(request), 7);
  });
});
