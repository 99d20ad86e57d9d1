// Spoils a client's connections while others write, and finds that every view ends at the
// server's state, that no version goes back, and that a view says when it is stale.
//
// The program that runs this has a server and a proxy in front of it, and an address that
// commands both: RTDB_CONTROL. RTDB_ROUNDS is how often the connection is spoiled. RTDB_FALLBACK=1
// lets no WebSocket open.
import assert from "node:assert/strict";
import { connect } from "../rtdb.js";

const { RTDB_URL, RTDB_CONTROL, RTDB_ROUNDS, RTDB_FALLBACK } = process.env;
const WebSocket = RTDB_FALLBACK ? null : (globalThis.WebSocket ?? (await import("ws")).WebSocket);
const random = (n) => Math.floor(Math.random() * n);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// control sends a command, and returns the server's address behind the proxy.
let direct;
async function control(command) {
  const response = await fetch(`${RTDB_CONTROL}/${command}`);
  assert.equal(response.status, 200, command);
  direct = await response.text();
}

// eventually waits for a condition.
async function eventually(what, condition) {
  for (const end = Date.now() + 15_000; !(await condition()); await sleep(5)) {
    if (Date.now() > end) throw Error(`${what}: never`);
  }
}

// The writers write to the server itself.
let writing = true;
let pause = false;
const busy = new Set();
let writes = 0;

async function write() {
  const key = `${"abc"[random(3)]}/${random(20)}`;
  const init = random(10) < 3 ? { method: "DELETE" } : { method: "PUT", body: JSON.stringify({ value: ++writes }) };
  const response = await fetch(`${direct}/data/${key}`, init).catch(() => {}); // the server may be restarting
  await response?.text();
}

async function writer() {
  while (writing) {
    if (!pause) {
      const one = write();
      busy.add(one);
      await one;
      busy.delete(one);
    }
    await sleep(2);
  }
}

async function quiet() {
  pause = true;
  await Promise.all(busy);
}

async function listing() {
  const response = await fetch(`${direct}/data?limit=1000`);
  const { items } = await response.json();
  return new Map(items.map((item) => [item.key, item]));
}

const matches = {
  "a/#": (key) => key.startsWith("a/"), "#": () => true, "+/1": (key) => key.endsWith("/1"),
  list: (key) => ["a/1", "b/2", "c/3", "b/19"].includes(key), "b/7": (key) => key === "b/7",
};

const client = connect(RTDB_URL, {
  WebSocket, backoff: { min: 2, max: 30 }, pingAfter: 100, pingTimeout: 300, writeTimeout: 2_000, client: "chaos",
});
const errors = new Map();
client.addEventListener("error", ({ error }) => errors.set(error.code, error));
let losses = 0;
client.addEventListener("statechange", () => (losses += client.state === "waiting"));

// open opens a view, and watches its versions.
function open(name) {
  const view = client.view(name === "list" ? ["a/1", "b/2", "c/3", "b/19"] : name);
  const versions = new Map();
  view.subscribe((changes) => {
    for (const { key, version, deleted } of changes) {
      assert.ok(matches[name](key), `${name} got ${key}`);
      if (version === undefined) versions.delete(key); // found out by a reset
      else {
        assert.ok(!(versions.get(key) >= version), `${name}: ${key} went from ${versions.get(key)} to ${version}${deleted ? " (deleted)" : ""}`);
        versions.set(key, version);
      }
    }
  });
  return view;
}

const difference = (view, name, state) => {
  const want = [...state.values()].filter(({ key }) => matches[name](key));
  const got = view.snapshot();
  for (const { key, value, version } of want) {
    const entry = got.get(key);
    if (entry?.version !== version || entry.value !== value) return `${name}: ${key} is ${JSON.stringify(entry)}, want ${value} at ${version}`;
  }
  if (got.size !== want.length) return `${name} has ${got.size} keys, want ${want.length}`;
};

const spoils = {
  cut: () => control("cut"),
  async stall() {
    await control("stall?on=1");
    // A value that is written now does not arrive. A view that lacks it must become stale soon.
    await quiet();
    const response = await fetch(`${direct}/data/a/1`, { method: "PUT", body: JSON.stringify({ value: ++writes }) });
    const { version } = await response.json();
    if (random(4) === 0 && !RTDB_FALLBACK) {
      await eventually("a view that lacks a write is stale", () => views["a/#"].stale || views["a/#"].get("a/1")?.version >= version);
    } else await sleep(random(30));
    await control("stall");
    pause = false;
    if (random(2)) await control("cut");
  },
  async delay() {
    await control(`delay?ms=${1 + random(3)}`);
    await sleep(random(15));
    await control("cut");
    await control("delay?ms=0");
  },
  async swallow() {
    await control("swallow?on=1");
    await sleep(random(10));
    await control("cut");
    await control("swallow");
  },
  async refuse() {
    await control("refuse?on=1");
    await control("cut");
    await eventually("a view without a link is stale", () => views["#"].stale);
    await write();
    await sleep(random(20));
    assert.ok(views["#"].stale);
    await control("refuse");
  },
  async mount() {
    // A view comes and goes while the connection is spoiled.
    const name = Object.keys(matches)[random(5)];
    const view = open(name);
    await control("cut");
    await sleep(random(5));
    view.close();
    if (random(2)) open(name).close();
  },
  restart: () => control("restart"),
};

await control("");
const views = Object.fromEntries(Object.keys(matches).map((name) => [name, open(name)]));
const writers = [writer(), writer()];
const rounds = Number(RTDB_ROUNDS);
for (let round = 1; round <= rounds; round++) {
  const names = ["cut", "cut", "cut", "stall", "delay", "swallow", "refuse", "mount"];
  const name = round % 37 === 0 ? "restart" : names[random(names.length)];
  await spoils[name]();
  await sleep(random(6));
  if (round % 4 && round !== rounds) continue;
  // Nobody writes now. After one more cut, a view that is not stale has to be right.
  await quiet();
  const state = await listing();
  const all = Object.entries(views);
  const caughtUp = (why) => eventually(`${why} views catch up`, () => all.every(([, view]) => !view.stale)).catch((error) => {
    throw Error(`${error.message}; the client is ${client.state}, and told ${[...errors.keys()]}`);
  });
  await caughtUp(`after ${round} rounds`);
  const before = losses;
  await control("cut");
  await eventually("the link is lost", () => losses > before);
  await caughtUp(`after ${round} rounds and a cut`);
  for (const [name, view] of all) {
    assert.equal(difference(view, name, state), undefined, `after ${round} rounds`);
  }
  pause = false;
}
writing = false;
await Promise.all(writers);

// A request still works, and everything ends.
await client.set("z", 1);
await client.close();
assert.equal(client.state, "closed");
assert.ok(writes > rounds, `only ${writes} writes`);
console.log(`${rounds} rounds, ${writes} writes`);
