// The client's link: connecting, back-off, tokens, and whether the link is alive.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { connect, RTDBError, Unauthorized } from "../rtdb.js";
import { asPage, later, outcome, pass, refuse, setBack, settle, silent, sleep, start, stop } from "./fake.mjs";

let server;
beforeEach(() => (server = start()));
afterEach(stop);

describe("connecting", () => {
  test("a wrong URL throws at once", () => {
    for (const url of ["", "nonsense", "ftp://example.com", "localhost:8080", "127.0.0.1:8080", "/prefix", "null", undefined]) {
      assert.throws(() => connect(url, { WebSocket: server.WebSocket }), { name: "TypeError", message: `connect: ${url} is not a URL like http://localhost:8080` });
    }
    assert.equal(server.sockets.length, 0);
  });

  test("URLs of HTTP and WebSockets, with /ws or a proxy's prefix, name the same server", async () => {
    const cases = {
      "http://x": "ws://x/ws", "https://x/": "wss://x/ws", "ws://x/ws": "ws://x/ws", "wss://x:1/ws/": "wss://x:1/ws",
      "https://x/prefix": "wss://x/prefix/ws", "https://x/a/b/ws": "wss://x/a/b/ws", "https://x/shows": "wss://x/shows/ws",
    };
    for (const [url, want] of Object.entries(cases)) {
      const client = connect(url, { WebSocket: server.WebSocket });
      await settle();
      assert.equal(server.socket.url, want, url);
      client.close();
    }
  });

  test("it offers rtdb.v1 and no token in the URL or in a subprotocol", async () => {
    await server.opened({ token: () => "secret" });
    assert.deepEqual(server.socket.protocols, ["rtdb.v1"]);
    assert.doesNotMatch(server.socket.url, /secret/);
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["auth", "ping"]);
  });

  test("states are told, and ready waits for the link", async () => {
    const states = [];
    const client = server.connect();
    client.addEventListener("statechange", () => states.push(client.state));
    assert.equal(client.state, "connecting");
    assert.equal(await outcome(client.ready()), "resolved");
    server.socket.drop();
    await pass(500);
    await client.close();
    assert.deepEqual(states, ["open", "waiting", "connecting", "open", "closed"]);
    assert.equal(await outcome(client.ready()), "closed");
  });

  test("ready ends with its signal", async () => {
    server.opening = "hang";
    const client = server.connect();
    const abort = new AbortController();
    const ready = later(client.ready(abort.signal));
    abort.abort(new RTDBError("timeout", "enough"));
    assert.equal(await outcome(ready), "timeout");
    assert.equal(await outcome(client.ready(AbortSignal.abort())), 20, "the code of an AbortError");
  });

  test("an attempt has a deadline while the WebSocket opens", async () => {
    server.opening = "hang";
    const client = server.connect();
    await pass(9_900);
    assert.equal(client.state, "connecting");
    await pass(200);
    assert.equal(client.state, "waiting");
    assert.equal(server.socket.readyState, 3);
  });

  test("an attempt has a deadline while the token is checked, and while the server says nothing", async () => {
    mock.method(Math, "random", () => 1);
    const wait = { min: 60_000, max: 60_000 };
    for (const action of ["auth", "ping"]) {
      server.replies = { [action]: silent };
      const client = server.connect({ token: () => "t", backoff: wait });
      await settle();
      assert.equal(client.state, "connecting");
      await pass(10_100);
      assert.equal(client.state, "waiting", action);
      assert.equal(server.socket.readyState, 3);
      client.close();
    }
  });

  test("a client that is closed while it connects leaves nothing behind", async () => {
    server.opening = "hang";
    const client = server.connect();
    await settle();
    const request = later(client.get("a"));
    const { ready } = client.view("a");
    await client.close();
    assert.equal(client.state, "closed");
    assert.equal(await outcome(request), "closed");
    assert.equal(await outcome(ready), "closed");
    assert.equal(server.socket.readyState, 3);
    await pass(60_000);
    assert.equal(server.sockets.length, 1);
  });

  test("a client that is closed while its token function runs does not connect", async () => {
    let give;
    const client = server.connect({ token: () => new Promise((resolve) => (give = resolve)) });
    await settle();
    client.close();
    give("t");
    await pass(60_000);
    assert.equal(server.sockets.length, 0);
    assert.equal(client.state, "closed");
  });

  test("close ends with 1000, so that no will is written; a link that is given up ends otherwise", async () => {
    const client = await server.opened();
    await client.close();
    assert.equal(server.socket.closedWith, 1000);
    const other = await server.opened();
    server.replies.ping = silent;
    await pass(40_000);
    assert.notEqual(server.sockets[1].closedWith, 1000);
    await other.close();
    await other.close();
  });
});

describe("back-off", () => {
  test("waits a random time up to a limit that doubles", async () => {
    server.opening = "refuse";
    server.health = [200, '{"status":"ok"}'];
    for (const random of [1, 0.5]) {
      mock.method(Math, "random", () => random);
      server.sockets.length = 0;
      const client = server.connect({ WebSocket: undefined, backoff: { min: 400, max: 3_000 } });
      client.close();
      const begins = [];
      const other = server.connect({ backoff: { min: 400, max: 3_000 } });
      server.health = undefined;
      for (let last = 0, now = 0; now < 14_000 * random; now += 100) {
        if (server.sockets.length > last) begins.push(now), (last = server.sockets.length);
        await pass(100);
      }
      const waits = begins.slice(1).map((at, i) => at - begins[i]);
      assert.deepEqual(waits.slice(0, 5), [400, 800, 1600, 3000, 3000].map((ms) => Math.ceil(ms * random / 100) * 100), `random ${random}`);
      other.close();
    }
  });

  test("is reset only after 5 s of a stable link", async () => {
    mock.method(Math, "random", () => 1);
    const client = await server.opened({ backoff: { min: 1_000, max: 64_000 } });
    const cut = async (after) => {
      await pass(after);
      const count = server.sockets.length;
      server.socket.drop();
      let waited = 0;
      for (; server.sockets.length === count; waited += 100) await pass(100);
      return waited;
    };
    assert.equal(await cut(100), 1_000);
    assert.equal(await cut(4_000), 2_000, "a link of 4 s is not stable");
    assert.equal(await cut(4_500), 4_000);
    assert.equal(await cut(5_500), 1_000, "a link of more than 5 s is");
    assert.equal(client.state, "open");
  });

  test("bounds the attempts in a minute, whatever wakes the client", async () => {
    mock.method(Math, "random", () => 0);
    const page = asPage();
    server.opening = "refuse";
    const client = server.connect();
    for (let i = 0; i < 599; i++) {
      await pass(100);
      page.dispatchEvent(new Event("visibilitychange"));
    }
    assert.ok(server.sockets.length <= 20, `${server.sockets.length} attempts in a minute`);
    assert.ok(server.sockets.length >= 15);
    await pass(60_000);
    assert.ok(server.sockets.length <= 40, `${server.sockets.length} attempts in two minutes`);
    client.close();
  });

  test("waits no longer than a minute if the clock is set back", async () => {
    mock.method(Math, "random", () => 0);
    server.opening = "refuse";
    server.connect();
    await pass(30_000);
    const count = server.sockets.length;
    setBack(3_600_000);
    await pass(61_000);
    assert.ok(server.sockets.length > count);
  });

  test("after a kick, or a close by a policy, the client waits longer and reports an error", async () => {
    for (const [code, want] of [[4009, "kicked"], [1008, "refused"]]) {
      mock.method(Math, "random", () => 0.9);
      const client = await server.opened();
      const count = server.sockets.length;
      server.socket.drop(code, "because");
      await pass(17_000);
      assert.equal(server.sockets.length, count, `${code}: the back-off is the full one`);
      await pass(2_000);
      assert.equal(server.sockets.length, count + 1);
      assert.deepEqual(client.errors.map((e) => e.code), [want]);
      assert.match(client.errors[0].message, /because/);
      client.close();
    }
  });

  test("a server that restarts (1012) is reconnected to, silently", async () => {
    const client = await server.opened();
    server.socket.drop(1012, "restart");
    await pass(600);
    assert.equal(client.state, "open");
    assert.deepEqual(client.errors, []);
  });

  test("a newer session of the same client (4011) ends it for good", async () => {
    const client = await server.opened({ client: "screen" });
    const view = client.view("a");
    server.socket.drop(4011, "replaced");
    await pass(60_000);
    assert.equal(client.state, "closed");
    assert.deepEqual(client.errors.map((e) => e.code), ["replaced"]);
    assert.equal(server.sockets.length, 1);
    assert.equal(await outcome(client.set("a", 1)), "replaced");
    assert.equal(view.stale, true);
    assert.equal(await outcome(client.view("b").ready), "replaced");
  });
});

describe("tokens", () => {
  test("the token function is asked before each attempt, and nothing is sent before the token is accepted", async () => {
    let tokens = 0;
    server.replies.auth = silent;
    const client = server.connect({ token: async () => `t${++tokens}`, client: "c" });
    client.view("a");
    await settle();
    assert.deepEqual(server.socket.sent.map(({ action, token }) => [action, token]), [["auth", "t1"]]);
    server.replies = {};
    server.socket.receive({ id: server.socket.sent[0].id, ok: true });
    await settle();
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["auth", "hello", "ping", "subscribe"]);
    server.socket.drop(4010, "token expired");
    await pass(1_000);
    assert.equal(server.socket.sent[0].token, "t2");
  });

  test("no token is sent if the token function has none", async () => {
    await server.opened({ token: () => "" });
    assert.deepEqual(server.socket.asked("auth"), []);
  });

  test("a refused token asks the token function once more, then waits", async () => {
    let asked = 0;
    server.replies.auth = refuse("unauthorized");
    const client = server.connect({ token: () => `t${++asked}` });
    await settle();
    assert.equal(asked, 2);
    assert.equal(client.state, "waiting");
    assert.deepEqual(client.errors.map((e) => e.code), ["unauthorized"]);
    server.replies.auth = (m) => (m.token === "t4" ? {} : refuse("unauthorized")());
    await pass(1_000);
    assert.equal(client.state, "open", "the second token of the second attempt is good");
    assert.equal(client.errors.length, 1);
  });

  test("refused tokens make no storm of attempts, and one error", async () => {
    let asked = 0;
    server.replies.auth = refuse("unauthorized");
    const client = server.connect({ token: () => `t${++asked}` });
    await pass(60_000);
    assert.ok(server.sockets.length <= 20, `${server.sockets.length} attempts`);
    assert.ok(asked <= 40);
    assert.equal(client.errors.length, 1);
  });

  test("a token function that throws Unauthorized is final", async () => {
    const client = server.connect({ token: () => Promise.reject(new Unauthorized("signed out")) });
    const request = later(client.get("a"));
    await pass(60_000);
    assert.equal(client.state, "closed");
    assert.deepEqual(client.errors.map((e) => [e.code, e.message]), [["unauthorized", "signed out"]]);
    assert.equal(await outcome(request), "unauthorized");
    assert.equal(server.sockets.length, 0);
  });

  test("a token function that fails otherwise is asked again", async () => {
    let asked = 0;
    const client = server.connect({
      token: () => {
        if (++asked < 3) throw Error("the identity provider is down");
        return "t";
      },
    });
    await pass(5_000);
    assert.equal(client.state, "open");
    assert.equal(asked, 3);
    assert.equal(client.errors.length, 1);
    assert.match(client.errors[0].message, /identity provider is down/);
  });

  test("a token function that rejects without an error is asked again", async () => {
    let asked = 0;
    const client = server.connect({ token: () => (++asked < 3 ? Promise.reject(asked === 1 ? undefined : "a text") : "t") });
    await pass(5_000);
    assert.equal(client.state, "open");
    assert.deepEqual(client.errors.map((e) => e.code), ["offline", "offline"]);
    assert.match(client.errors[1].message, /a text/);
  });

  test("the server's warning renews the token in band", async () => {
    let asked = 0;
    const client = await server.opened({ token: () => `t${++asked}`, client: "c" });
    client.view("a");
    server.socket.receive({ action: "auth", expires_in: 30 });
    await settle();
    assert.deepEqual(server.socket.asked("auth").map((m) => m.token), ["t1", "t2"]);
    assert.equal(server.socket.asked("hello").length, 2, "a token of another subject gives up the name");
    assert.equal(server.sockets.length, 1);
    assert.deepEqual(client.errors, []);
  });

  test("a token with so little time left that the server warns at once makes no storm", async () => {
    let asked = 0;
    server.replies.auth = (m, _, socket) => void queueMicrotask(() => {
      socket.receive({ id: m.id, ok: true });
      socket.receive({ action: "auth", expires_in: 20 });
    });
    const client = server.connect({ token: () => (++asked < 100 ? "t" : Promise.reject(Error("a storm"))) });
    await pass(20_000);
    assert.equal(client.state, "open");
    assert.ok(asked <= 3, `${asked} renewals`);
    server.replies = {};
    server.socket.receive({ action: "auth", expires_in: 30 });
    await settle();
    assert.equal(server.socket.asked("auth").length, asked, "a later warning counts");
  });

  test("a renewal that fails is told; the link goes on until the token ends", async () => {
    let asked = 0;
    const client = await server.opened({
      token: () => {
        if (++asked === 2) throw Error("not now");
        return "t";
      },
    });
    server.socket.receive({ action: "auth", expires_in: 30 });
    await settle();
    assert.equal(client.state, "open");
    assert.match(client.errors[0].message, /not now/);
    server.socket.drop(4010);
    await pass(600);
    assert.equal(client.state, "open");
    assert.equal(asked, 3);
  });

  test("a renewal whose token function throws Unauthorized is final", async () => {
    let asked = 0;
    const client = await server.opened({
      token: () => {
        if (++asked === 2) throw new Unauthorized();
        return "t";
      },
    });
    server.socket.receive({ action: "auth", expires_in: 30 });
    await settle();
    assert.equal(client.state, "closed");
  });

  test("a subscription that the new token does not cover is refused; the others go on", async () => {
    const client = await server.opened({ token: () => "t" });
    const [kept, lost] = [client.view("kept/#"), client.view("lost/#")];
    await settle();
    server.replies.auth = () => ({ ended: ["lost/#"] });
    server.replies.subscribe = (m) => (m.pattern === "lost/#" ? refuse("forbidden")() : { revision: 200, epoch: "e1" });
    server.socket.receive({ action: "auth", expires_in: 30 });
    await settle();
    assert.deepEqual([kept.stale, lost.stale], [false, true]);
    assert.deepEqual(client.errors.map((e) => e.code), ["forbidden"]);
    assert.equal(client.state, "open");
  });
});

describe("liveness", () => {
  test("a link is pinged each pingAfter, with traffic or without", async () => {
    const client = await server.opened({ pingAfter: 10_000 });
    client.view("a/#");
    for (let i = 0; i < 35; i++) {
      server.socket.receive({ key: "a/b", value: i, version: 1000 + i });
      await pass(1_000);
    }
    assert.equal(server.socket.asked("ping").length, 4, "one at the beginning, and three");
  });

  test("a link that answers no ping is given up", async () => {
    const client = await server.opened();
    server.replies.ping = silent;
    await pass(25_000 + 7_900);
    assert.equal(client.state, "open");
    await pass(200);
    assert.equal(client.state, "waiting");
    assert.equal(server.sockets[0].readyState, 3);
    assert.deepEqual(client.errors.map((e) => e.code), ["offline"]);
  });

  test("a ping that the server refuses is a sign of life, unless a token is missing", async () => {
    const client = await server.opened();
    server.replies.ping = refuse("rate_limited");
    await pass(60_000);
    assert.equal(client.state, "open");
    assert.equal(server.sockets.length, 1);
    server.replies.ping = refuse("unauthorized");
    await pass(25_000);
    assert.deepEqual(client.errors.map((e) => e.code), ["unauthorized"]);
  });

  test("a long snapshot before the pong keeps the link, but it is doubtful", async () => {
    const client = await server.opened();
    const view = client.view("a/#");
    server.replies.ping = silent;
    await pass(25_000);
    for (let i = 0; i < 30; i++) {
      server.socket.receive({ key: `a/${i}`, value: i, version: 1000 + i });
      await pass(1_000);
    }
    assert.equal(client.state, "open");
    assert.equal(view.stale, true);
    const { id } = server.socket.asked("ping").at(-1);
    server.socket.receive({ id, ok: true, action: "pong", revision: 2000, epoch: "e1" });
    assert.equal(view.stale, false);
  });

  test("a page that is always busy still pings", async () => {
    await server.opened({ pingAfter: 9_000 });
    const before = server.socket.asked("ping").length;
    for (let i = 0; i < 15; i++) {
      sleep(2_500); // each timer fires over a second late
      await pass(1);
    }
    assert.ok(server.socket.asked("ping").length > before);
  });

  test("a timer that fires late gives up no message that waits to be read", async () => {
    const client = await server.opened();
    server.replies.ping = silent;
    await pass(25_000);
    sleep(3_600_000);
    await pass(100);
    assert.equal(client.state, "open");
    const { id } = server.socket.asked("ping").at(-1);
    server.socket.receive({ id, ok: true, action: "pong", revision: 100, epoch: "e1" });
    await pass(10_000);
    assert.equal(client.state, "open");
  });

  test("visibilitychange, pageshow and online probe at once, and start an attempt that waits", async () => {
    const page = asPage();
    mock.method(Math, "random", () => 1);
    const client = await server.opened({ backoff: { min: 5_000, max: 20_000 } });
    for (const name of ["visibilitychange", "pageshow", "online"]) {
      const pings = server.socket.asked("ping").length;
      page.dispatchEvent(new Event(name));
      assert.equal(server.socket.asked("ping").length, pings + 1, name);
      await settle();
    }
    document.hidden = true;
    const pings = server.socket.asked("ping").length;
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(server.socket.asked("ping").length, pings, "a page that is hidden does not");
    document.hidden = false;
    server.socket.drop();
    await pass(1_000);
    assert.equal(client.state, "waiting");
    page.dispatchEvent(new Event("online"));
    await pass(100);
    assert.equal(client.state, "open");
  });

  test("a probe without an answer for 2 s makes views stale, and its answer ends that", async () => {
    const page = asPage();
    const client = await server.opened();
    const view = client.view("a");
    await settle();
    const seen = [];
    view.subscribe(() => seen.push(view.stale));
    server.replies.ping = silent;
    page.dispatchEvent(new Event("visibilitychange"));
    await pass(1_900);
    assert.deepEqual(seen, []);
    await pass(200);
    assert.deepEqual(seen, [true]);
    server.socket.receive({ id: server.socket.asked("ping").at(-1).id, ok: true, revision: 100, epoch: "e1" });
    await settle();
    assert.deepEqual(seen, [true, false]);
    assert.equal(client.state, "open");
  });
});

describe("a server that is not rtdb, or breaks the rules", () => {
  for (const [what, health] of [["HTML", [200, "<html>hello</html>"]], ["another JSON", [200, "{}"]], ["404", [404, "not found"]]]) {
    test(`a server whose /healthz is ${what} is told once as not_rtdb, without a storm`, async () => {
      server.opening = "refuse";
      server.health = health;
      const client = server.connect();
      await pass(60_000);
      assert.deepEqual(client.errors.map((e) => e.code), ["not_rtdb"]);
      assert.match(client.errors[0].message, /http:\/\/fake\.example/);
      assert.ok(server.sockets.length <= 20 && server.sockets.length > 2);
    });
  }

  test("a server that does not run is told once as offline", async () => {
    server.opening = "refuse";
    const client = server.connect();
    await pass(60_000);
    assert.deepEqual(client.errors.map((e) => e.code), ["offline"]);
    server.health = [502, "<html>bad gateway</html>"];
    await pass(20_000);
    assert.ok(!client.errors.some((e) => e.code === "not_rtdb"), "a proxy without its server is not another server");
  });

  test("a WebSocket server that does not speak rtdb.v1 is not used", async () => {
    server.protocol = "";
    server.health = [200, "hello"];
    const client = server.connect();
    await settle();
    assert.deepEqual(client.errors.map((e) => e.code), ["not_rtdb"]);
    assert.deepEqual(server.socket.sent, []);
  });

  for (const text of ["hello", "", "5", "null", '"text"', "[1,", "{}{}"]) {
    test(`a message ${JSON.stringify(text)} harms nobody`, async () => {
      const client = await server.opened();
      server.socket.receive(text);
      await pass(600);
      assert.equal(client.state, "open");
      assert.ok(client.errors.length <= 1);
      for (const error of client.errors) assert.equal(error.code, "bad_answer");
    });
  }

  test("answers that are not JSON end the link with one error, and make no storm", async () => {
    server.replies.ping = (m, _, socket) => void queueMicrotask(() => socket.receive("<html>"));
    const client = server.connect();
    await pass(60_000);
    assert.deepEqual(client.errors.map((e) => e.code), ["bad_answer"]);
    assert.ok(server.sockets.length <= 20);
  });

  test("unknown ids, replies that come twice, and unknown messages are ignored", async () => {
    const client = await server.opened();
    const get = client.get("a");
    const { id } = server.socket.sent.at(-1);
    for (const m of [{ id: 9999, ok: true }, { id: "x", error: { code: "internal" } }, { id, ok: true, key: "a" }, { action: "dance" }, {}, { ok: true }]) {
      server.socket.receive(m);
      server.socket.receive(m);
    }
    assert.equal((await get).key, "a");
    assert.equal(await outcome(client.set("a", 1)), 101);
    assert.equal(client.state, "open");
    assert.deepEqual(client.errors, []);
  });

  test("an error without an id is told", async () => {
    const client = await server.opened();
    server.socket.receive({ error: { code: "internal", message: "oh" }, action: "set" });
    assert.deepEqual(client.errors.map((e) => e.code), ["internal"]);
  });

  test("a repeated error is told again only after a stable link", async () => {
    server.opening = "refuse";
    const client = server.connect();
    await pass(10_000);
    server.opening = "open";
    await pass(30_000);
    assert.equal(client.state, "open");
    server.opening = "refuse";
    server.socket.drop();
    await pass(10_000);
    assert.deepEqual(client.errors.map((e) => e.code), ["offline", "offline"]);
  });
});
