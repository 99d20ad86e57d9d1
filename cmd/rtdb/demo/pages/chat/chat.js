// Rooms with a history, with the people in the room, and with a sign that somebody types.
import { connect } from "/rtdb.js";
import { CuttableSocket, add, showConnection } from "../demo.js";

const ROOMS = ["lobby", "kitchen", "garden"];
const HOUR = 3600;

// The client has a name. If its connection dies silently and it connects again, the server
// ends the old session first, so the will of the old session does not spoil the new state.
const id = Math.random().toString(36).slice(2);
const db = connect(undefined, { client: `chat-${id}`, WebSocket: CuttableSocket });
const follow = showConnection(db);

const element = (name) => document.getElementById(name);
const field = element("say").elements.text;
element("name").value = `Guest ${Math.floor(Math.random() * 900 + 100)}`;

// Other clients can write any value, so each value must have a text.
const textOf = (value) => String(value ?? "").slice(0, 1000);

let room; // the name of the room
let visits = 0;
let leave = () => {};

function enter(name) {
  leave();
  room = name;
  const stay = new AbortController();
  const { signal } = stay;
  const here = `chat/${room}/here/${id}-${visits++}`;

  // History: the keys of push sort by time, and a view has them all.
  const messages = db.view(`chat/${room}/messages/+`, { signal });
  messages.subscribe(() => showMessages(messages.snapshot()));
  showMessages(messages.snapshot());
  follow(messages);

  // Presence: a key for each person, which the server deletes when the person is gone.
  const people = db.view(`chat/${room}/here/+`, { signal });
  people.subscribe(() => showPeople(people.snapshot()));
  const arrive = () => {
    if (db.state === "open") db.set(here, element("name").value).catch(report);
  };
  const will = db.will({ key: here, delete: true });
  will.then(arrive, report);
  db.addEventListener("statechange", arrive, { signal }); // the will of a lost connection was carried out
  element("name").addEventListener("change", arrive, { signal });
  // A browser may keep a page that was left, with its connection, to show it again.
  addEventListener("pagehide", () => db.delete(here).catch(report), { signal });
  addEventListener("pageshow", arrive, { signal });

  // Typing: a topic, because nobody needs it later.
  const typing = db.topic(`chat/${room}/typing`)[Symbol.asyncIterator]();
  showTyping(typing).catch(report);

  leave = () => {
    stay.abort();
    typing.return();
    will.then((withdraw) => withdraw()).then(() => db.delete(here)).catch(report);
  };
  for (const button of element("rooms").children) button.setAttribute("aria-pressed", button.textContent === room);
}

function showMessages(entries) {
  const list = element("messages");
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 5;
  list.replaceChildren();
  for (const key of [...entries.keys()].sort().slice(-50)) {
    const { value, at } = entries.get(key);
    const line = add(list, "li");
    add(line, "time", "dim", at ? new Date(at).toLocaleTimeString() + " " : "");
    add(line, "b", "", textOf(value?.from));
    add(line, "span", "", `: ${textOf(value?.text)}`);
  }
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function showPeople(entries) {
  element("people").textContent = [...entries.values()].map(({ value }) => textOf(value)).sort().join(", ");
}

async function showTyping(messages) {
  const timers = new Map(); // by name
  const show = () => (element("typing").textContent = timers.size ? `${[...timers.keys()].join(", ")} …` : "");
  show();
  for await (const { value, missed } of messages) {
    if (missed || value?.id === id) continue;
    const name = textOf(value?.name);
    clearTimeout(timers.get(name));
    timers.set(name, setTimeout(() => (timers.delete(name), show()), 3000));
    show();
  }
}

function report(error) {
  // The bar shows that there is no connection, and the page asks again when there is one.
  if (!["offline", "closed", "not_found", "unknown_outcome"].includes(error.code)) element("typing").textContent = error.message;
}

let typedAt = 0;
field.oninput = () => {
  if (Date.now() - typedAt < 1000) return;
  typedAt = Date.now();
  db.publish(`chat/${room}/typing`, { id, name: element("name").value }).catch(report);
};

element("say").onsubmit = async (event) => {
  event.preventDefault();
  const text = field.value;
  field.value = "";
  try {
    await db.push(`chat/${room}/messages`, { from: element("name").value, text }, { ttl: HOUR });
  } catch (error) {
    field.value = text; // the person decides whether to send it again
    element("typing").textContent = `Not sent: ${error.message}`;
  }
};

for (const name of ROOMS) add(element("rooms"), "button", "", name).onclick = () => enter(name);
enter(ROOMS[0]);
