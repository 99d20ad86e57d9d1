// A map of devices, with their readings and states, and with commands to them.
import { connect } from "/rtdb.js";
import { CuttableSocket, add, showConnection } from "../demo.js";

const db = connect(undefined, { WebSocket: CuttableSocket });
const view = db.view("devices/#"); // devices/7/state, devices/7/reading, devices/7/command, devices/7/lamp
showConnection(db)(view);

const map = document.getElementById("map");
const figures = document.getElementById("figures");
const command = document.getElementById("simulate");
for (const word of ["rtdb simulate", "--devices 1000", `--url ${location.origin}`]) {
  if (command.firstChild) command.append(" ");
  add(command, "span", "word", word);
}

const tiles = new Map(); // by the name of the device
const dirty = new Set(); // names of the devices to paint
let readings = 0;

view.subscribe((changes) => {
  for (const { key } of changes) {
    const [, name, part] = key.split("/");
    if (part === "reading") readings++;
    if (part) dirty.add(name);
  }
  schedule();
});

// paint is called once a frame, however many changes came.
let frame;
function schedule() {
  frame ??= requestAnimationFrame(paint);
}

function paint() {
  frame = undefined;
  const before = tiles.size;
  for (const name of dirty) {
    if (!tiles.has(name)) addTile(name);
    paintTile(name, tiles.get(name));
  }
  dirty.clear();
  if (tiles.size > before) sort();
}

function addTile(name) {
  const tile = add(map, "button");
  tile.onclick = () => switchLamp(name);
  tiles.set(name, tile);
}

const { compare } = new Intl.Collator("en", { numeric: true });
function sort() {
  const names = [...tiles.keys()].sort(compare);
  for (const [i, name] of names.entries()) {
    if (map.children[i] !== tiles.get(name)) map.insertBefore(tiles.get(name), map.children[i]);
  }
}

const part = (name, level) => view.get(`devices/${name}/${level}`);

// The lamp waits if the device has not answered the newest command yet.
function lampOf(name) {
  const command = part(name, "command");
  const lamp = part(name, "lamp")?.value;
  return command && lamp?.command !== command.version ? "waiting" : lamp?.lamp ?? "off";
}

function paintTile(name, tile) {
  const state = part(name, "state")?.value;
  const reading = part(name, "reading")?.value;
  if (!state && !reading) {
    tile.remove();
    tiles.delete(name);
    return;
  }
  tile.dataset.state = state;
  tile.dataset.lamp = lampOf(name);
  tile.ariaPressed = tile.dataset.lamp === "on";
  tile.textContent = `${name}\n${state === "online" ? `${Number(reading?.celsius ?? NaN).toFixed(1)}°` : "offline"}`;
  tile.title = `Device ${name} is ${state}, lamp ${tile.dataset.lamp}, battery ${reading?.battery ?? "?"} %`;
}

async function switchLamp(name) {
  const lamp = part(name, "command")?.value?.lamp === "on" ? "off" : "on";
  try {
    await db.set(`devices/${name}/command`, { lamp });
  } catch (error) {
    figures.textContent = `The command was not sent: ${error.message}`;
  }
}

setInterval(() => {
  const isOnline = (name) => part(name, "state")?.value === "online";
  const online = [...tiles.keys()].filter(isOnline).length;
  figures.textContent = `${online} online, ${tiles.size - online} offline, ${readings} readings in the last second`;
  readings = 0;
}, 1000);
