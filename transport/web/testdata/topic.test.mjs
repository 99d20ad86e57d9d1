// Topics: bounded, and missed messages are counted.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { later, outcome, pass, refuse, settle, start, stop } from "./fake.mjs";

let server;
beforeEach(() => (server = start()));
afterEach(stop);

const say = (topic, value) => server.socket.receive({ topic, value });

describe("a topic", () => {
  test("is subscribed to by the loop, and leaving the loop unsubscribes", async () => {
    const client = await server.opened();
    const topic = client.topic("chat");
    await settle();
    assert.deepEqual(server.socket.asked("subscribe"), []);
    const got = [];
    const loop = (async () => {
      for await (const m of topic) {
        got.push(m);
        if (m.value === 2) break;
      }
    })();
    await settle();
    say("chat", 1);
    say("other", 9);
    say("chat", 2);
    say("chat", 3);
    await loop;
    await pass(100);
    assert.deepEqual(got, [{ topic: "chat", value: 1 }, { topic: "chat", value: 2 }]);
    assert.deepEqual(server.socket.sent.slice(1).map(({ id, ...m }) => m), [
      { action: "subscribe", topic: "chat", snapshot: true }, { action: "unsubscribe", topic: "chat" },
    ]);
  });

  test("pattern takes the topics that match", async () => {
    const client = await server.opened();
    const loop = client.topic("chat/+")[Symbol.asyncIterator]();
    const next = loop.next();
    await settle();
    assert.equal(server.socket.asked("subscribe")[0].topicPattern, "chat/+");
    say("chat", 1);
    say("chat/a/b", 2);
    say("chat/a", 3);
    assert.deepEqual((await next).value, { topic: "chat/a", value: 3 });
  });

  test("has two readers with one subscription", async () => {
    const client = await server.opened();
    const [a, b] = [client.topic("chat")[Symbol.asyncIterator](), client.topic("chat")[Symbol.asyncIterator]()];
    await settle();
    assert.equal(server.socket.asked("subscribe").length, 1);
    say("chat", 1);
    assert.deepEqual([(await a.next()).value.value, (await b.next()).value.value], [1, 1]);
    await a.return();
    await pass(100);
    assert.deepEqual(server.socket.asked("unsubscribe"), []);
  });

  test("holds 1000 messages for a slow reader, and then tells how many it missed", async () => {
    const client = await server.opened();
    const loop = client.topic("chat")[Symbol.asyncIterator]();
    await settle();
    for (let i = 0; i < 1_500; i++) say("chat", i);
    for (let i = 0; i < 1_000; i++) assert.equal((await loop.next()).value.value, i);
    say("chat", "after");
    assert.deepEqual((await loop.next()).value, { topic: "chat", missed: 500 });
    assert.equal((await loop.next()).value.value, "after");
    assert.equal(await outcome(loop.next()), "pending");
  });

  test("passes on the server's count of missed messages, and adds it to its own count", async () => {
    const client = await server.opened();
    const loop = client.topic("chat")[Symbol.asyncIterator]();
    await settle();
    server.socket.receive({ topic: "chat", missed: 7 });
    assert.deepEqual((await loop.next()).value, { topic: "chat", missed: 7 });
    for (let i = 0; i < 1_002; i++) say("chat", i);
    server.socket.receive({ topic: "chat", missed: 7 });
    for (let i = 0; i < 1_000; i++) await loop.next();
    assert.deepEqual((await loop.next()).value.missed, 9);
  });

  test("passes on that messages were lost between the nodes", async () => {
    const client = await server.opened();
    const [loop, other] = ["chat/+", "mail/+"].map((name) => client.topic(name)[Symbol.asyncIterator]());
    await settle();
    server.socket.receive({ topic: "chat/a", missed: true });
    assert.deepEqual((await loop.next()).value, { topic: "chat/a", missed: true });
    server.socket.receive({ topicPattern: "chat/+", missed: true });
    const { topic, missed } = (await loop.next()).value;
    assert.deepEqual([topic, missed], ["chat/+", true]);
    assert.equal(await outcome(other.next()), "pending");
  });

  test("tells after a reconnect that messages may be missing", async () => {
    const client = await server.opened();
    const loop = client.topic("chat/#")[Symbol.asyncIterator]();
    await settle();
    server.socket.drop();
    await settle();
    const late = client.topic("chat/#")[Symbol.asyncIterator]();
    await pass(1_000);
    say("chat/a", 1);
    assert.deepEqual((await loop.next()).value, { topic: "chat/#", missed: true });
    assert.equal((await loop.next()).value.value, 1);
    assert.equal((await late.next()).value.value, 1, "a reader that began later missed nothing");
  });

  test("that is refused ends the loop with the error; a client that is closed ends it without", async () => {
    server.replies.subscribe = refuse("forbidden");
    const client = await server.opened();
    await assert.rejects(async () => {
      for await (const m of client.topic("secret")) assert.fail(m);
    }, { code: "forbidden" });
    server.replies = {};
    const next = client.topic("chat")[Symbol.asyncIterator]().next();
    await settle();
    await client.close();
    assert.deepEqual(await next, { value: undefined, done: true });
  });

  test("of a client that is replaced ends the loop with the error", async () => {
    const client = await server.opened();
    const next = later(client.topic("chat")[Symbol.asyncIterator]().next());
    await settle();
    server.socket.drop(4011, "replaced");
    assert.equal(await outcome(next), "replaced");
    await assert.rejects(client.topic("chat")[Symbol.asyncIterator]().next(), { code: "replaced" });
  });

  test("return settles a next that waits, and gives nothing more", async () => {
    const client = await server.opened();
    const loop = client.topic("chat")[Symbol.asyncIterator]();
    const nexts = [loop.next(), loop.next()];
    await settle();
    say("chat", 1);
    say("chat", 2);
    say("chat", 3);
    const third = await loop.return();
    assert.deepEqual((await Promise.all(nexts)).map((r) => r.value.value), [1, 2]);
    assert.equal(third.done, true);
    assert.deepEqual(await loop.next(), { value: undefined, done: true });
  });
});
