// Views: resuming, resets, versions, stale, sharing.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { later, outcome, pass, refuse, removal, settle, silent, start, stop, timersLeft, update } from "./fake.mjs";

let server;
beforeEach(() => (server = start()));
afterEach(stop);

const values = (view) => Object.fromEntries([...view.snapshot()].map(([key, { value }]) => [key, value]));

// reply answers the last request with an action.
const reply = (action, m) => server.socket.receive({ id: server.socket.asked(action).at(-1).id, ok: true, ...m });

// holding returns a client whose subscribes are answered by the test.
async function holding() {
  server.replies.subscribe = silent;
  return server.opened();
}

describe("a view", () => {
  test("of a pattern, a key or a list subscribes with a snapshot", async () => {
    const client = await server.opened();
    client.view("a/#");
    client.view("a/b");
    client.view(["z", "b", "z"]);
    assert.deepEqual(server.socket.asked("subscribe").map(({ id, action, ...m }) => m), [
      { pattern: "a/#", snapshot: true }, { keys: ["a/b"], snapshot: true }, { keys: ["b", "z"], snapshot: true },
    ]);
  });

  test("is ready, and tells its first values at once, when the snapshot is complete", async () => {
    const client = await holding();
    const view = client.view("a/#");
    const seen = [];
    view.subscribe((changes) => seen.push([changes.map((c) => c.key), view.stale]));
    server.socket.receive(update("a/1", 1, 10));
    server.socket.receive(update("a/2", 2, 11));
    server.socket.receive(update("a/1", 3, 12));
    assert.equal(await outcome(view.ready), "pending");
    assert.deepEqual([seen, view.stale], [[], true]);
    reply("subscribe", { revision: 12, epoch: "e1" });
    assert.equal(await outcome(view.ready), "resolved");
    assert.deepEqual(seen, [[["a/1", "a/2", "a/1"], false], [[], false]]);
    assert.deepEqual(values(view), { "a/1": 3, "a/2": 2 });
    assert.deepEqual(view.get("a/1"), { key: "a/1", value: 3, version: 12, at: 12 });
    assert.equal(view.get("a/3"), undefined);
  });

  test("takes the keys that match, by the rules of patterns", async () => {
    const client = await server.opened();
    const cases = {
      "#": ["a", "a/b", "$x"], "a/#": ["a", "a/b", "a/b/c"], "a/+": ["a/b"], "+/b": ["a/b", "c/b"], "a/+/c": ["a/b/c"],
      "+": ["a", "$x", "a.b"], "a.b/#": ["a.b", "a.b/c"], "+/#": ["a", "a/b", "a/b/c", "c/b", "$x", "a.b", "a.b/c", "axb/c"],
      "(*[/#": ["(*["],
    };
    const views = Object.keys(cases).map((pattern) => client.view(pattern));
    await settle();
    const keys = ["a", "a/b", "a/b/c", "c/b", "$x", "a.b", "a.b/c", "axb/c", "(*["];
    keys.forEach((key, i) => server.socket.receive(update(key, i, 200 + i)));
    views.forEach((view, i) => {
      const [pattern, some] = Object.entries(cases)[i];
      const got = [...view.snapshot().keys()];
      if (pattern === "#" || pattern === "+" || pattern === "+/#") assert.ok(some.every((key) => got.includes(key)), pattern);
      else assert.deepEqual(got.sort(), some.sort(), pattern);
    });
    assert.equal(views[0].snapshot().size, keys.length);
    assert.deepEqual([...views[5].snapshot().keys()].sort(), ["$x", "(*[", "a", "a.b"]);
  });

  test("never goes back: versions that are not above the known one are ignored", async () => {
    const client = await server.opened();
    const view = client.view("a/#");
    await settle();
    const seen = [];
    view.subscribe((changes) => seen.push(...changes.map((c) => c.version)));
    for (const version of [110, 109, 110, 111, 105, 112]) server.socket.receive(update("a/1", version, version));
    await settle();
    assert.deepEqual(seen, [110, 111, 112]);
  });

  test("has a snapshot of the same identity until it changes, which never changes itself", async () => {
    const client = await server.opened();
    const { snapshot, ...view } = client.view("a/#");
    await settle();
    const first = snapshot();
    assert.equal(snapshot(), first);
    server.socket.receive(update("a/1", 1, 110));
    const second = snapshot();
    assert.notEqual(second, first);
    assert.deepEqual([first.size, second.size], [0, 1]);
    server.socket.receive(update("a/1", 1, 110));
    assert.equal(snapshot(), second);
    server.socket.receive(removal("a/1", 111));
    assert.deepEqual([second.size, snapshot().size], [1, 0]);
    assert.equal(typeof view.subscribe, "function", "it needs no this");
  });

  test("tells a listener's error elsewhere, and goes on", async () => {
    const client = await server.opened();
    const view = client.view("a");
    await settle();
    const errors = [];
    const caught = (error) => errors.push(error.message);
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", caught);
    let told = 0;
    const leave = view.subscribe(() => { throw Error("mine"); });
    view.subscribe(() => told++);
    server.socket.receive(update("a", 1, 110));
    await settle();
    process.removeListener("uncaughtException", caught);
    for (const listener of others) process.on("uncaughtException", listener);
    leave();
    assert.deepEqual([errors, told, client.state], [["mine"], 1, "open"]);
  });

  test("tells a listener nothing after it unsubscribed; the same function may subscribe twice", async () => {
    const client = await server.opened();
    const view = client.view("a");
    await settle();
    let told = 0;
    const listener = () => told++;
    const [first, second] = [view.subscribe(listener), view.subscribe(listener)];
    first();
    first();
    server.socket.receive(update("a", 1, 110));
    await settle();
    assert.equal(told, 1);
    server.socket.receive(update("a", 2, 111));
    second();
    await settle();
    assert.equal(told, 1);
  });

  test("that the server refuses rejects, is told, and ends its loops with the error", async () => {
    server.replies.subscribe = refuse("forbidden");
    const client = await server.opened();
    const view = client.view("secret/#");
    const next = later(view[Symbol.asyncIterator]().next());
    assert.equal(await outcome(view.ready), "forbidden");
    assert.equal(await outcome(next), "forbidden");
    assert.equal(view.stale, true);
    assert.deepEqual(client.errors.map((e) => e.code), ["forbidden"]);
    server.replies = {};
    assert.equal(await outcome(client.view("secret/#").ready), "resolved", "a new view asks again");
  });

  test("that is refused for a while is asked for again", async () => {
    for (const code of ["rate_limited", "unavailable", "limit_reached"]) {
      server.replies.subscribe = refuse(code);
      const client = await server.opened();
      const view = client.view("a/#");
      await settle();
      assert.equal(view.stale, true);
      server.replies = {};
      await pass(5_000);
      assert.equal(await outcome(view.ready), "resolved", code);
      client.close();
    }
  });

  test("of no keys needs no server's answer", async () => {
    const client = await server.opened();
    const view = client.view([]);
    assert.equal(await outcome(view.ready), "resolved");
    assert.deepEqual([view.stale, view.snapshot().size], [false, 0]);
    assert.deepEqual(server.socket.asked("subscribe"), []);
  });

  test("of names that are not valid is refused by the server, and throws nothing", async () => {
    server.replies.subscribe = refuse("invalid_name");
    const client = await server.opened();
    for (const what of [["a/#"], ["a+b", "c"], "a//b", undefined, null]) assert.equal(await outcome(client.view(what).ready), "invalid_name", String(what));
  });

  test("closes with its signal", async () => {
    const client = await server.opened();
    const abort = new AbortController();
    const view = client.view("a", { signal: abort.signal });
    await settle();
    abort.abort();
    await pass(10);
    assert.equal(server.socket.asked("unsubscribe").length, 1);
    assert.equal(client.view("b", { signal: AbortSignal.abort() }).stale, true);
  });
});

describe("resuming", () => {
  test("asks for the changes since the revision of the reply, and never since the highest version seen", async () => {
    const client = await holding();
    client.view("a/#");
    reply("subscribe", { revision: 50, epoch: "e1" });
    server.socket.receive(update("a/1", 1, 900));
    server.socket.drop();
    await pass(600);
    const [{ since, epoch, snapshot }] = server.socket.asked("subscribe");
    assert.deepEqual([since, epoch, snapshot], [50, "e1", undefined]);
  });

  test("each pong raises the revision of the views that have caught up, and of no others", async () => {
    const client = await holding();
    client.view("a/#");
    reply("subscribe", { revision: 50, epoch: "e1" });
    const late = client.view("b/#");
    server.version = 70;
    await pass(25_000);
    server.socket.drop();
    await pass(600);
    const [a, b] = server.socket.asked("subscribe");
    assert.deepEqual([a.since, b.since, b.snapshot], [70, undefined, true]);
    assert.equal(late.stale, true);
  });

  test("a cut in the middle of catching up resumes from where it was", async () => {
    const client = await holding();
    const view = client.view("a/#");
    reply("subscribe", { revision: 50, epoch: "e1" });
    server.socket.drop();
    await pass(600);
    server.socket.receive(update("a/1", 1, 60));
    server.socket.drop();
    await settle();
    assert.deepEqual(values(view), { "a/1": 1 });
    await pass(2_000);
    assert.equal(server.socket.asked("subscribe")[0].since, 50);
    server.socket.receive(update("a/1", 1, 60));
    server.socket.receive(update("a/2", 2, 61));
    const seen = [];
    view.subscribe((changes) => seen.push(...changes.map((c) => c.key)));
    reply("subscribe", { revision: 61, epoch: "e1" });
    await settle();
    assert.deepEqual(seen, ["a/2"], "an update that came twice is told once");
  });

  test("a first snapshot that was cut loses the keys that do not come again", async () => {
    const client = await holding();
    const view = client.view("a/#");
    const seen = [];
    view.subscribe((changes) => seen.push(...changes.map((c) => c.key + (c.deleted ? " is gone" : ""))));
    server.socket.receive(update("a/1", 1, 59));
    server.socket.receive(update("a/2", 2, 60));
    server.socket.drop();
    await pass(600);
    server.socket.receive(update("a/2", 2, 60));
    server.socket.receive(update("a/3", 3, 61));
    reply("subscribe", { revision: 61, epoch: "e1" });
    assert.deepEqual(values(view), { "a/2": 2, "a/3": 3 });
    await settle();
    assert.deepEqual(seen, ["a/1", "a/2", "a/3", "a/1 is gone"], "an update that came twice is told once");
  });

  test("on reset, keys that did not come again are removed, and reported as deleted", async () => {
    const client = await holding();
    const view = client.view("a/#");
    for (const i of [1, 2, 3]) server.socket.receive(update(`a/${i}`, i, 10 + i));
    reply("subscribe", { revision: 50, epoch: "e1" });
    const loop = view[Symbol.asyncIterator]();
    for (const i of [1, 2, 3]) assert.equal((await loop.next()).value.key, `a/${i}`);
    const seen = [];
    await settle();
    view.subscribe((changes) => seen.push(...changes));
    server.socket.drop();
    await pass(600);
    server.socket.receive(update("a/2", 2, 12));
    server.socket.receive(update("a/4", 4, 70));
    server.socket.receive(removal("a/4", 71));
    assert.deepEqual(Object.keys(values(view)), ["a/1", "a/2", "a/3"], "nothing is removed before the reply");
    reply("subscribe", { revision: 80, epoch: "e1", reset: true });
    await settle();
    assert.deepEqual(values(view), { "a/2": 2 });
    const deleted = seen.filter((c) => c.deleted).map((c) => c.key);
    assert.deepEqual(deleted.sort(), ["a/1", "a/3", "a/4"]);
    assert.deepEqual((await loop.next()).value.deleted, true);
  });

  test("versions of a new epoch may be lower", async () => {
    const client = await holding();
    const view = client.view("a/#");
    server.socket.receive(update("a/1", "old", 1_000));
    server.socket.receive(update("a/2", "old", 1_001));
    reply("subscribe", { revision: 1_001, epoch: "e1" });
    server.epoch = "e2";
    server.version = 5;
    server.socket.drop();
    await pass(600);
    server.socket.receive(update("a/1", "new", 3));
    server.socket.receive(update("a/1", "older", 2));
    reply("subscribe", { revision: 5, epoch: "e2", reset: true });
    assert.deepEqual(values(view), { "a/1": "new" });
    server.socket.receive(update("a/1", "newer", 6));
    assert.equal(view.get("a/1").value, "newer");
  });

  test("a server that has lost its newest versions is right after its reset", async () => {
    const client = await holding();
    const view = client.view("a/#");
    for (const i of [1, 2]) server.socket.receive(update(`a/${i}`, "lost", 44 + i));
    reply("subscribe", { revision: 46, epoch: "e1" });
    server.socket.drop();
    await pass(600);
    server.socket.receive(update("a/1", "kept", 30));
    server.socket.receive(update("a/2", "kept", 31));
    server.socket.receive(removal("a/2", 41));
    reply("subscribe", { revision: 41, epoch: "e1", reset: true });
    assert.deepEqual(values(view), { "a/1": "kept" });
    server.socket.receive(update("a/1", "older", 29));
    assert.equal(view.get("a/1").value, "kept");
  });

  test("updates of another view during a refused subscribe are not part of a snapshot", async () => {
    const client = await server.opened();
    client.view("#");
    await settle();
    server.replies.subscribe = silent;
    const view = client.view("a/#");
    server.socket.receive(update("a/1", 1, 110)); // of the other view
    reply("subscribe", { ok: undefined, error: { code: "rate_limited", message: "later" } });
    server.socket.receive(removal("a/1", 111));
    await pass(5_000);
    reply("subscribe", { revision: 111, epoch: "e1" });
    assert.deepEqual([values(view), view.stale], [{}, false]);
  });

  test("a server that was restored from a backup may use a version again", async () => {
    const client = await holding();
    const view = client.view("a/#");
    server.socket.receive({ key: "a/1", value: "lost", version: 45, at: 1_000 });
    reply("subscribe", { revision: 45, epoch: "e1" });
    server.socket.drop();
    await pass(600);
    server.socket.receive({ key: "a/1", value: "restored", version: 45, at: 2_000 });
    reply("subscribe", { revision: 45, epoch: "e2", reset: true });
    assert.deepEqual(values(view), { "a/1": "restored" });
  });

  test("stale is true from the loss of the link until the view has caught up, and listeners learn it", async () => {
    const client = await holding();
    const view = client.view("a/#");
    reply("subscribe", { revision: 50, epoch: "e1" });
    await settle();
    const seen = [];
    view.subscribe((changes) => seen.push([view.stale, changes.length]));
    server.socket.drop();
    await pass(600);
    assert.equal(client.state, "open");
    assert.deepEqual([seen, view.stale], [[[true, 0]], true]);
    server.socket.receive(update("a/1", 1, 60));
    await settle();
    assert.equal(seen.length, 1);
    reply("subscribe", { revision: 60, epoch: "e1" });
    await settle();
    assert.deepEqual(seen.slice(1), [[false, 1], [false, 0]]);
  });

  test("stale is true while the server says that it is behind the other nodes", async () => {
    server.replies.auth = (m, _, socket) => void socket.receive({ action: "stale", since_ms: 10 }) ?? {};
    const client = await server.opened({ token: () => "t" });
    const view = client.view("a/#");
    assert.equal(await outcome(view.ready), "resolved");
    assert.equal(view.stale, true, "it said so before the view");
    const seen = [];
    view.subscribe((changes) => seen.push([view.stale, changes.length]));
    server.socket.receive(update("a/1", 1, 110));
    await pass(60_000); // pongs do not end it
    assert.deepEqual(seen.splice(0), [[true, 1]]);
    server.socket.receive({ action: "fresh" });
    server.socket.receive({ action: "another" });
    await settle();
    assert.deepEqual([seen.splice(0), view.stale], [[[false, 0]], false]);
    server.socket.receive({ action: "stale", since_ms: 10 });
    server.replies.auth = undefined;
    server.socket.drop();
    await pass(1_000);
    assert.deepEqual([client.state, view.stale], ["open", false], "another server is not behind");
  });
});

describe("sharing", () => {
  test("two views of one pattern share one subscription", async () => {
    const client = await server.opened();
    const [a, b, c] = [client.view("a/#"), client.view("a/#"), client.view(["x", "y"])];
    client.view(["y", "x"]);
    await settle();
    assert.equal(server.socket.asked("subscribe").length, 2);
    server.socket.receive(update("a/1", 1, 110));
    assert.deepEqual([values(a), values(b), values(c)], [{ "a/1": 1 }, { "a/1": 1 }, {}]);
    assert.equal(await outcome(client.view("a/#").ready), "resolved", "a view of a subscription that stands is ready");
  });

  test("closing the last unsubscribes one task later, so that a double mount costs nothing", async () => {
    const client = await server.opened();
    for (let i = 0; i < 3; i++) client.view("a/#").close();
    const view = client.view("a/#");
    const other = client.view("a/#");
    view.close();
    view.close();
    await pass(100);
    assert.deepEqual(server.socket.asked("unsubscribe"), []);
    assert.equal(server.socket.asked("subscribe").length, 1);
    assert.deepEqual([other.stale, view.stale], [false, true]);
    other.close();
    assert.deepEqual(server.socket.asked("unsubscribe"), []);
    await pass(100);
    assert.deepEqual(server.socket.asked("unsubscribe").map((m) => m.pattern), ["a/#"]);
  });

  test("a view that is closed keeps its values, and learns nothing more", async () => {
    const client = await server.opened();
    const view = client.view("a");
    await settle();
    server.socket.receive(update("a", 1, 110));
    let told = 0;
    view.subscribe(() => told++);
    view.close();
    await pass(100);
    server.socket.receive(update("a", 2, 111));
    assert.deepEqual([values(view), told], [{ a: 1 }, 0]);
  });

  test("a client that is closed makes its views stale, and tells their listeners", async () => {
    const client = await server.opened();
    const view = client.view("a");
    await settle();
    const seen = [];
    view.subscribe((changes) => seen.push([view.stale, changes.length]));
    await client.close();
    await settle();
    assert.ok(seen.length > 0);
    for (const one of seen) assert.deepEqual(one, [true, 0]);
  });

  test("a view that is closed before its reply unsubscribes after it", async () => {
    const client = await holding();
    const view = client.view("a/#");
    view.close();
    assert.equal(await outcome(view.ready), "closed");
    await pass(100);
    assert.deepEqual(server.socket.asked("unsubscribe"), []);
    reply("subscribe", { revision: 50, epoch: "e1" });
    assert.equal(server.socket.asked("unsubscribe").length, 1);
  });

  test("a view that is opened while its pattern's unsubscribe is under way resumes after it", async () => {
    server.replies.unsubscribe = silent;
    const client = await server.opened();
    client.view("a/#").close();
    await pass(100);
    const view = client.view("a/#");
    await settle();
    assert.equal(server.socket.asked("subscribe").length, 1);
    assert.equal(view.stale, true);
    reply("unsubscribe", {});
    await settle();
    const again = server.socket.asked("subscribe");
    assert.deepEqual([again.length, again[1].since], [2, 100]);
    assert.equal(view.stale, false);
  });

  test("no subscribe is sent while an unsubscribe is under way, whose updates could be taken for its own", async () => {
    server.replies.unsubscribe = silent;
    const client = await server.opened();
    client.view("a/#").close();
    await pass(100);
    const view = client.view("a/+");
    server.socket.receive(update("a/1", 1, 110)); // of the old subscription; then the key is deleted
    assert.equal(server.socket.asked("subscribe").length, 1);
    reply("unsubscribe", {});
    await settle();
    assert.equal(server.socket.asked("subscribe").length, 2);
    assert.deepEqual([values(view), view.stale], [{}, false]);
  });

  test("keys that another view shows stay subscribed", async () => {
    const client = await server.opened();
    const [one, two, three] = [client.view(["a", "b"]), client.view(["b", "c"]), client.view("c")];
    await settle();
    one.close();
    await pass(100);
    three.close();
    await pass(100);
    two.close();
    await pass(100);
    assert.deepEqual(server.socket.asked("unsubscribe").map((m) => m.keys), [["a"], ["b", "c"]]);
  });

  test("10,000 mounts leave no listener, timer, message or map entry behind", async () => {
    const client = await server.opened();
    const before = timersLeft();
    for (let i = 0; i < 10_000; i++) {
      const view = client.view(i % 2 ? `a/${i % 100}/#` : ["k", `k${i % 100}`]);
      view.subscribe(() => {})();
      view.subscribe(() => {});
      const loop = view[Symbol.asyncIterator]();
      if (i % 3) loop.return();
      const tail = client.topic("t")[Symbol.asyncIterator]();
      later(tail.next());
      tail.return();
      if (i % 100 === 0) await pass(1);
      view.close();
    }
    await pass(1_000);
    assert.equal(timersLeft(), before);
    server.socket.drop();
    await pass(1_000);
    assert.deepEqual(server.socket.sent.map((m) => m.action), ["ping"], "no subscription is left");
  });
});

describe("a loop over a view", () => {
  test("yields the present values, then each change, and for a slow reader only the newest of a key", async () => {
    const client = await server.opened();
    const view = client.view("a/#");
    await settle();
    server.socket.receive(update("a/1", 1, 110));
    const loop = view[Symbol.asyncIterator]();
    assert.deepEqual((await loop.next()).value, update("a/1", 1, 110));
    for (let i = 0; i < 1_000; i++) server.socket.receive(update("a/2", i, 200 + i));
    server.socket.receive(update("a/3", 1, 2_000));
    assert.equal((await loop.next()).value.value, 999);
    assert.equal((await loop.next()).value.key, "a/3");
    const next = loop.next();
    assert.equal(await outcome(next), "pending");
    server.socket.receive(removal("a/3", 2_001));
    assert.equal((await next).value.deleted, true);
  });

  test("tells the updates before the reply once", async () => {
    const client = await holding();
    const view = client.view("a/#");
    const early = view[Symbol.asyncIterator]();
    server.socket.receive(update("a/1", 1, 10));
    const late = view[Symbol.asyncIterator]();
    assert.equal((await early.next()).value.version, 10);
    assert.equal((await late.next()).value.version, 10);
    reply("subscribe", { revision: 50, epoch: "e1" });
    assert.equal(await outcome(early.next()), "pending");
    assert.equal(await outcome(late.next()), "pending");
  });

  test("ends when the view or the client is closed, and with return", async () => {
    const client = await server.opened();
    const view = client.view("a/#");
    const other = client.view("b/#");
    const ends = [view, other, other].map((v) => v[Symbol.asyncIterator]());
    const nexts = ends.map((loop) => loop.next());
    view.close();
    await ends[1].return();
    await client.close();
    for (const next of nexts) assert.deepEqual(await next, { value: undefined, done: true });
    for await (const change of view) assert.fail(change);
  });
});
