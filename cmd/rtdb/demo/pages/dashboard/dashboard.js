// 2,000 sensors that change once a second, painted no more than once a frame.
import { connect } from "/rtdb.js";
import { CuttableSocket, add, showConnection } from "../demo.js";

// A parse hook sees each message. Here it makes the tab slow on purpose.
const COST = 2; // milliseconds that a message costs in a throttled tab
let throttled = false;
function parse(text) {
  const end = performance.now() + COST;
  while (throttled && performance.now() < end);
  return JSON.parse(text);
}

const db = connect(undefined, { WebSocket: CuttableSocket, parse });
const sensors = db.view("sensors/#"); // a live copy of all of them
showConnection(db)(sensors);

const counts = { changes: 0, repaints: 0, skipped: 0 };
const numbers = new Map(); // the number of the last write of each sensor that came
const dirty = new Set(); // keys to paint
const lines = new Map(); // by key
const isReading = (value) => typeof value?.celsius === "number";

sensors.subscribe((changes) => {
  for (const { key, value } of changes) {
    dirty.add(key);
    if (!isReading(value)) continue; // the key was deleted, or another client has written a value of another form
    counts.changes++;
    // Writes are numbered, so a gap shows the writes that the server has skipped.
    if (value.n > numbers.get(key)) counts.skipped += value.n - numbers.get(key) - 1;
    numbers.set(key, value.n);
    lines.get(key)?.values.push(value.celsius);
  }
  schedule();
});

// paint is called once a frame, however many changes came.
let frame;
function schedule() {
  frame ??= requestAnimationFrame(paint);
}

// Tiles

const canvas = document.getElementById("tiles");
const brush = canvas.getContext("2d");
let places = new Map(); // from a key to the number of its tile
let columns, size; // of the tiles, in pixels

function paint() {
  frame = undefined;
  counts.repaints++;
  if (places.size !== sensors.snapshot().size || canvas.width !== canvas.clientWidth) layOut();
  for (const key of dirty) {
    const place = places.get(key);
    const value = sensors.get(key)?.value;
    brush.fillStyle = isReading(value) ? `hsl(${220 - (value.celsius - 14) * 14} 70% 50%)` : "gray";
    brush.fillRect((place % columns) * size, Math.floor(place / columns) * size, size - 1, size - 1);
    if (lines.has(key)) paintLine(key, lines.get(key));
  }
  dirty.clear();
}

function layOut() {
  const keys = [...sensors.snapshot().keys()].sort();
  places = new Map(keys.map((key, place) => [key, place]));
  canvas.width = canvas.clientWidth; // it is empty again
  size = Math.max(8, Math.floor(canvas.width / 100));
  columns = Math.min(100, Math.floor(canvas.width / size));
  canvas.height = Math.ceil(keys.length / columns) * size;
  canvas.ariaLabel = `${keys.length} sensors`;
  dirty.clear();
  for (const key of keys) dirty.add(key);
  if (!lines.size) for (const key of keys.slice(0, 4)) addLine(key);
}

addEventListener("resize", schedule);
canvas.onclick = ({ offsetX, offsetY }) => {
  const place = Math.floor(offsetY / size) * columns + Math.floor(offsetX / size);
  const key = [...places.keys()][place];
  if (!key || lines.has(key)) return;
  const [[oldest, { card }]] = lines;
  card.remove();
  lines.delete(oldest);
  addLine(key);
};

// Lines

const POINTS = 60;

function addLine(key) {
  const card = add(document.getElementById("lines"), "div", "card");
  const title = add(card, "h2");
  const svg = card.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
  svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 16`);
  svg.setAttribute("preserveAspectRatio", "none");
  const line = svg.appendChild(document.createElementNS(svg.namespaceURI, "polyline"));
  lines.set(key, { card, title, line, values: [sensors.get(key)?.value].filter(isReading).map(({ celsius }) => celsius) });
  paintLine(key, lines.get(key));
}

function paintLine(key, { title, line, values }) {
  values.splice(0, values.length - POINTS);
  title.textContent = `${key}: ${values.at(-1)?.toFixed(1) ?? "no value"} °C`;
  line.setAttribute("points", values.map((celsius, x) => `${x},${30 - celsius}`).join(" "));
}

// Figures

const button = document.getElementById("throttle");
let timer;
button.onclick = () => {
  throttled = !throttled;
  button.ariaPressed = throttled;
  clearTimeout(timer);
  if (throttled) timer = setTimeout(button.onclick, 15_000);
};

let before = { ...counts };
setInterval(() => {
  document.getElementById("figures").textContent = `${counts.changes - before.changes} changes and ` +
    `${counts.repaints - before.repaints} repaints in the last second, ${counts.skipped} versions skipped`;
  before = { ...counts };
}, 1000);
