// Tests of the provider with real documents, against a real server behind proxies that cut
// connections. They need `go test ./transport/web -run Yjs` in the repository of rtdb, which
// starts the server and the proxies.

import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import WebSocket from "ws";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { connect } from "../../rtdb.js";
import { RtdbProvider } from "./provider.js";

const proxies = process.env.RTDB_PROXIES?.split(" ") ?? []; // one for each writer
const STEPS = process.env.CI ? 1_000 : 200; // random edits
const options = { skip: !proxies.length && "RTDB_PROXIES is not set" };

// control makes the test's server cut, refuse, or restart.
async function control(what) {
  const response = await fetch(`${process.env.RTDB_CONTROL}/${what}`, { method: "POST" });
  assert.equal(response.status, 204, what);
}

// restart restarts the server while the writers know that they are not connected, and
// resolves when they are connected again.
async function restart(writers) {
  for (const proxy of proxies.keys()) {
    await control(`refuse?proxy=${proxy}&on=1`);
    await control(`cut?proxy=${proxy}`);
  }
  await until("all know that the connection is lost", () => writers.every(({ client }) => client.state !== "open"));
  await control("restart");
  for (const proxy of proxies.keys()) await control(`refuse?proxy=${proxy}&on=0`);
  await Promise.all(writers.map(({ client }) => client.ready()));
}

async function until(what, condition) {
  for (const end = Date.now() + 20_000; !condition(); await new Promise((done) => setTimeout(done, 5))) {
    if (Date.now() > end) assert.fail(`not within 20 s: ${what}`);
  }
}

// A Writer is a document with its own connection.
class Writer {
  static all = new Set();
  errors = [];
  sockets = [];

  constructor(name, { proxy = 0, withAwareness = false, ...options } = {}) {
    const { sockets } = this;
    class Socket extends WebSocket {
      constructor(...args) {
        super(...args);
        sockets.push(this);
      }
    }
    this.doc = new Y.Doc();
    this.text = this.doc.getText("text");
    this.client = connect(proxies[proxy], { WebSocket: Socket, client: `writer-${this.doc.clientID}`, backoff: { min: 20, max: 100 } });
    if (withAwareness) this.awareness = new Awareness(this.doc);
    this.provider = new RtdbProvider(this.client, name, this.doc, { batch: 5, awareness: this.awareness, ...options });
    this.provider.addEventListener("error", ({ error }) => this.errors.push(error.message));
    Writer.all.add(this);
  }

  get names() {
    return [...this.awareness.getStates().values()].map(({ name }) => name).sort().join();
  }

  async leave() {
    Writer.all.delete(this);
    await this.provider.destroy();
    await this.client.close();
    this.doc.destroy();
  }
}

afterEach(() => Promise.all([...Writer.all].map((writer) => writer.leave())));

// generator returns a function that returns random integers below n (mulberry32).
function generator(seed) {
  return (n) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

// edit makes one random edit.
function edit({ doc, text }, random) {
  const at = random(text.length + 1);
  const length = Math.min(random(8), text.length - at);
  const kind = random(4);
  if (kind === 0 && length) text.delete(at, length);
  else if (kind === 1) doc.getMap("map").set("key" + random(5), random(1000));
  else text.insert(at, String.fromCharCode(97 + random(26)).repeat(1 + random(4)));
}

// The order of a map's entries may differ between equal documents.
const contentOf = ({ doc, text }) => JSON.stringify([text, [...doc.getMap("map")].sort()]);

// checkEqual waits until everything is saved, and compares all documents with one that is
// loaded from the server.
async function checkEqual(name, writers, what = "") {
  await until("all are saved", () => writers.every(({ provider }) => provider.state === "saved"));
  await until(`all are equal ${what}`, () => new Set(writers.map(contentOf)).size === 1);
  const reader = new Writer(name);
  await reader.provider.loaded;
  assert.equal(contentOf(reader), contentOf(writers[0]), what);
  await reader.leave();
  for (const { errors } of writers) assert.deepEqual(errors, [], what);
}

const keysOf = async (pattern) => {
  const response = await fetch(`${proxies[0]}/data?limit=1000&pattern=${encodeURIComponent(pattern)}`);
  return (await response.json()).items;
};

test("documents that are edited at once through cuts end equal", options, async () => {
  const seed = Date.now();
  const random = generator(seed);
  const writers = proxies.map((_, proxy) => new Writer("cuts", { proxy, compactAt: 10 }));
  for (let step = 0; step < STEPS; step++) {
    edit(writers[random(writers.length)], random);
    if (random(10) === 0) await control(`cut?proxy=${random(writers.length)}`);
    if (random(25) === 0) await control(`refuse?proxy=${random(writers.length)}&on=${random(2)}`);
    if (random(4) === 0) await new Promise((done) => setTimeout(done, random(30)));
  }
  for (const proxy of proxies.keys()) await control(`refuse?proxy=${proxy}&on=0`);
  await checkEqual("cuts", writers, `seed ${seed}`);
});

test("edits made without a connection are written when it is back, deletions too", options, async () => {
  const [one, two] = [new Writer("offline"), new Writer("offline", { proxy: 1 })];
  one.text.insert(0, "one two three");
  await until("it arrives", () => two.text.length === 13);
  await checkEqual("offline", [one, two]);
  await control("refuse?proxy=0&on=1");
  await control("cut?proxy=0");
  await until("it is offline", () => one.provider.state === "offline");
  assert.ok(one.provider.isSaved);
  one.text.delete(3, 4);
  assert.ok(!one.provider.isSaved);
  two.text.insert(13, " four");
  await control("refuse?proxy=0&on=0");
  await until("the deletion arrives", () => two.text.toString() === "one three four");
  await checkEqual("offline", [one, two]);
});

test("a server that has forgotten everything gets it again from the open documents", options, async () => {
  const seed = Date.now();
  const random = generator(seed);
  const writers = proxies.map((_, proxy) => new Writer("restart", { proxy, compactAt: 8 }));
  for (let i = 0; i < 4; i++) {
    for (let step = 0; step < 60; step++) {
      edit(writers[random(writers.length)], random);
      if (random(6) === 0) await new Promise((done) => setTimeout(done, random(25)));
    }
    await control("restart");
  }
  await restart(writers);
  await checkEqual("restart", writers, `seed ${seed}`);
  // One more, in silence: nobody edits, and the server has it again nevertheless.
  await restart(writers);
  await checkEqual("restart", writers, `seed ${seed}`);
});

test("clients compact at once, and a document that is loaded meanwhile lacks nothing", options, async () => {
  const writers = proxies.map((_, proxy) => new Writer("compact", { proxy, compactAt: 2, maxValue: 200 }));
  const EDITS = process.env.CI ? 60 : 25;
  let saved = 0; // characters
  let isOver = false;
  const writing = Promise.all(writers.map(async ({ text, provider }) => {
    for (let i = 0; i < EDITS; i++) {
      text.insert(0, "x");
      await until("it is saved", () => provider.isSaved);
      saved++;
    }
  })).finally(() => (isOver = true));
  let loads = 0;
  for (; !isOver; loads++) {
    const least = saved;
    const reader = new Writer("compact", { proxy: loads % proxies.length });
    await reader.provider.loaded;
    assert.ok(reader.text.length >= least, `${reader.text.length} characters were loaded, and ${least} were saved before`);
    await reader.leave();
    if (loads % 5 === 4) await control(`cut?proxy=${loads % proxies.length}`);
  }
  await writing;
  assert.ok(loads > 5, `only ${loads} loads`);
  await checkEqual("compact", writers);
  assert.equal(writers[0].text.length, EDITS * writers.length);
  // The last compaction has left nothing behind but one snapshot.
  const [writer] = writers;
  for (let i = 0; i < 3; i++) {
    writer.text.insert(0, "y");
    await until("it is saved", () => writer.provider.isSaved);
  }
  let keys;
  for (const end = Date.now() + 10_000; ; await new Promise((done) => setTimeout(done, 50))) {
    keys = await keysOf("documents/compact/#");
    const { id, parts } = keys.find(({ key }) => key.endsWith("/snapshot"))?.value ?? {};
    const pieces = keys.filter(({ key }) => key.includes("/snapshot/"));
    if (keys.length - pieces.length <= 3 && pieces.length === parts && pieces.every(({ key }) => key.includes(id))) break;
    assert.ok(Date.now() < end, `left over: ${keys.map(({ key }) => key)}`);
  }
  await checkEqual("compact", writers);
});

// holdManifest holds back the writer's next manifest. It resolves when that is about to be
// written, to a function that lets it go on and returns its error.
function holdManifest({ client }) {
  const { set } = client;
  return new Promise((reached) => {
    client.set = (key, ...rest) => {
      if (!key.endsWith("/snapshot")) return set(key, ...rest);
      client.set = set;
      return new Promise((resolve, reject) => {
        reached(() => set(key, ...rest).then(resolve, (error) => {
          reject(error);
          return error;
        }));
      });
    };
  });
}

// writeOften makes so many updates.
async function writeOften({ text, provider }, updates) {
  for (let i = 0; i < updates; i++) {
    text.insert(0, "x");
    await until("it is saved", () => provider.state === "saved");
  }
}

test("of two clients that compact at once, the later one does not win", options, async () => {
  const [slow, quick] = [new Writer("race", { compactAt: 3 }), new Writer("race", { proxy: 1, compactAt: 8 })];
  const held = holdManifest(slow);
  await writeOften(slow, 4);
  const release = await held;
  await writeOften(quick, 8);
  const snapshot = slow.client.view("documents/race/snapshot");
  await until("the other one has compacted", () => snapshot.get("documents/race/snapshot"));
  await until("and has deleted the updates", () => slow.client.view("documents/race/#").snapshot().size < 8);
  assert.ok(await release(), "the later one has won");
  await checkEqual("race", [slow, quick]);
  assert.equal(slow.text.length, 12);
});

test("a server that restarts during a compaction gets no manifest without parts", options, async () => {
  const writer = new Writer("middle", { compactAt: 3 });
  const held = holdManifest(writer);
  await writeOften(writer, 4);
  const release = await held;
  await restart([writer]);
  assert.ok(await release(), "the manifest was written");
  await checkEqual("middle", [writer]);
});

test("a document longer than a value is written in parts", options, async () => {
  // The server takes 65,536 bytes: the provider finds that out.
  const writer = new Writer("large", { maxValue: 100_000 });
  const random = generator(1);
  writer.text.insert(0, Array.from({ length: 300_000 }, () => String.fromCharCode(97 + random(26))).join(""));
  await until("it is saved", () => writer.provider.state === "saved");
  const other = new Writer("large", { proxy: 1 });
  await other.provider.loaded;
  other.text.insert(7, "hello");
  await until("the edit arrives", () => writer.text.length === 300_005);
  await checkEqual("large", [writer, other]);
  assert.ok((await keysOf("documents/large/snapshot/#")).length > 5);
});

test("a key whose value is not an update is reported, and does no other harm", options, async () => {
  const writer = new Writer("bad", { compactAt: 3 });
  await writer.provider.loaded;
  const { client } = writer;
  await client.set("documents/bad/updates/number", 5);
  await client.set("documents/bad/updates/text", "AAECAwQ=");
  await client.set("documents/bad/other", true);
  await until("both are reported", () => writer.errors.length === 2);
  assert.match(writer.errors.join(), /documents\/bad\/updates\/number.*documents\/bad\/updates\/text/s);
  for (let i = 0; i < 8; i++) {
    writer.text.insert(0, "x");
    await until("it is saved", () => writer.provider.state === "saved");
  }
  await until("it is compacted", () => client.view("documents/bad/snapshot").get("documents/bad/snapshot"));
  const reader = new Writer("bad", { proxy: 1 });
  await reader.provider.loaded;
  assert.equal(reader.text.toString(), "xxxxxxxx");
  assert.equal((await keysOf("documents/bad/updates/+")).filter(({ key }) => /number|text/.test(key)).length, 2);
});

test("a snapshot without its parts keeps a document from loading, until it is deleted", options, async () => {
  const writer = new Writer("torn");
  writer.text.insert(0, "kept");
  await until("it is saved", () => writer.provider.state === "saved");
  await writer.client.set("documents/torn/snapshot", { id: "lost", parts: 2 });
  const reader = new Writer("torn", { proxy: 1 });
  await until("it is reported", () => reader.errors.some((message) => message.includes("documents/torn/snapshot")));
  assert.equal(reader.provider.state, "loading");
  await writer.client.delete("documents/torn/snapshot");
  await reader.provider.loaded;
  assert.equal(reader.text.toString(), "kept");
});

test("a server that refuses the writes is not asked at each edit", options, async () => {
  const writer = new Writer("refused");
  await until("it has loaded", () => writer.provider.state === "saved");
  let attempts = 0;
  writer.client.push = async () => {
    attempts++;
    throw Object.assign(new Error("the token does not grant this"), { code: "forbidden" });
  };
  for (let i = 0; i < 50; i++) {
    writer.text.insert(0, "x");
    await new Promise((done) => setTimeout(done, 10));
  }
  assert.equal(attempts, 1);
  assert.deepEqual(writer.errors, ["the token does not grant this"]);
  assert.equal(writer.provider.state, "saving");
});

test("a name that is not valid is refused by `loaded`", options, async () => {
  const writer = new Writer("");
  await assert.rejects(writer.provider.loaded, { code: "invalid_name" });
  assert.equal(writer.provider.state, "loading");
});

test("clients see the clients that are there, and those that have gone", options, async () => {
  const open = (name, proxy) => {
    const writer = new Writer("people", { proxy, withAwareness: true });
    writer.awareness.setLocalState({ name });
    return writer;
  };
  const [ada, bob] = [open("ada", 0), open("bob", 1)];
  await until("they see each other", () => ada.names === "ada,bob" && bob.names === "ada,bob");
  const eve = open("eve", 2);
  await until("a new one sees all", () => [ada, bob, eve].every(({ names }) => names === "ada,bob,eve"));

  await control("refuse?proxy=1&on=1");
  await control("cut?proxy=1");
  await until("one that is cut off has gone", () => ada.names === "ada,eve");
  await until("and sees nobody", () => bob.names === "bob");
  await control("refuse?proxy=1&on=0");
  await until("it is back", () => [ada, bob, eve].every(({ names }) => names === "ada,bob,eve"));

  await eve.leave();
  await until("one that leaves has gone", () => ada.names === "ada,bob" && bob.names === "ada,bob");

  await ada.client.publish("documents/people/awareness", { from: 7, state: "AQ==" });
  await until("a state that is not valid is reported", () => bob.errors.length === 1);
  bob.awareness.setLocalState({ name: "bo" });
  await until("and costs nothing else", () => ada.names === "ada,bo");
});

after(() => setTimeout(() => {
  // A timer that the provider has left would keep the process.
  console.error("something keeps the process: " + process.getActiveResourcesInfo());
  process.exit(1);
}, 10_000).unref());
