// A document of paragraphs. Each is a key, so edits of different paragraphs never conflict.
import { connect } from "/rtdb.js";
import { CuttableSocket, add, showConnection } from "../demo.js";

const id = Math.random().toString(36).slice(2);
const db = connect(undefined, { WebSocket: CuttableSocket });
const entries = db.view("document/blocks/+");
showConnection(db)(entries);

const element = (name) => document.getElementById(name);
element("name").value = `Guest ${Math.floor(Math.random() * 900 + 100)}`;
const textOf = (value) => String(value?.text ?? "");
const report = (error) => (element("trouble").textContent = error.message);

// merge returns base with the changes of both texts. If the changes overlap, it keeps both.
function merge(base, mine, theirs, author) {
  if (mine === theirs) return mine;
  const [a, b] = [changeOf(base, mine), changeOf(base, theirs)];
  const [first, second] = a.start < b.start ? [a, b] : [b, a];
  if (first.end <= second.start) {
    return base.slice(0, first.start) + first.text + base.slice(first.end, second.start) + second.text + base.slice(second.end);
  }
  const end = Math.max(a.end, b.end);
  const part = (change) => base.slice(first.start, change.start) + change.text + base.slice(change.end, end);
  return `${base.slice(0, first.start)}${part(a)} ⟪${author}: ${part(b)}⟫ ${base.slice(end)}`;
}

// changeOf returns the one range of base that was replaced, and its new text.
function changeOf(base, text) {
  let [start, end, tail] = [0, base.length, text.length];
  while (start < end && start < tail && base[start] === text[start]) start++;
  while (end > start && tail > start && base[end - 1] === text[tail - 1]) end--, tail--;
  return { start, end, text: text.slice(start, tail) };
}

class Block {
  base = ""; // the text that the server had last
  version = 0; // of base
  carets = new Map(); // of other people
  #saving = false;

  constructor(key) {
    this.key = key;
    this.paper = add(element("document"), "div", "block");
    const sheet = add(this.paper, "div", "sheet");
    this.mirror = add(sheet, "div", "mirror"); // has the carets, and the height of the text
    this.area = add(sheet, "textarea");
    Object.assign(this.area, { rows: 1, maxLength: 10_000, ariaLabel: "Paragraph" }).dataset.key = key;
    this.area.oninput = () => (this.show(), this.saveSoon());
    add(this.paper, "button", "", "Delete").onclick = () => db.delete(key).catch(report);
  }

  // take shows an entry of the server. It leaves unsaved text alone: save merges it.
  take(entry) {
    if (entry.version > this.version && !this.#saving && this.area.value === this.base) this.agree(entry, this.base);
  }

  // agree shows an entry of the server, merged with the edits since the text was mine.
  agree({ value, version }, mine) {
    Object.assign(this, { base: textOf(value), version });
    const { value: typed, selectionStart: at } = this.area;
    this.area.value = merge(mine, typed, this.base, value?.by);
    const { start, end, text: { length } } = changeOf(typed, this.area.value);
    if (document.activeElement === this.area) this.area.selectionEnd = this.area.selectionStart = at < end ? Math.min(at, start) : at + length - (end - start);
    this.show();
  }

  saveSoon(wait = 200) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), wait);
  }

  // Compare and set: update calls its function again if somebody else has written meanwhile.
  async save() {
    const mine = this.area.value;
    if (this.#saving || mine === this.base) return;
    this.#saving = true;
    let error;
    try {
      const entry = await db.update(this.key, (old) => {
        const text = old ? merge(this.base, mine, textOf(old.value), old.value?.by) : mine;
        return old && text === textOf(old.value) ? undefined : { text, by: element("name").value };
      });
      this.agree(entry, mine);
    } catch (e) {
      error = e; // the text stays, and is saved later
    }
    this.#saving = false;
    report(error ?? { message: "" });
    if (this.area.value !== this.base) this.saveSoon(error && 2000);
    else if (entries.get(this.key)) this.take(entries.get(this.key));
  }

  show() {
    this.mirror.replaceChildren();
    let from = 0;
    for (const { at, name } of [...this.carets.values()].sort((a, b) => a.at - b.at)) {
      this.mirror.append(this.area.value.slice(from, at));
      add(this.mirror, "span", "caret").dataset.name = name;
      from = at;
    }
    this.mirror.append(this.area.value.slice(from) + "\n");
  }
}

const blocks = new Map(); // by key
entries.subscribe((changes) => {
  for (const { key, deleted, ...entry } of changes) {
    if (!blocks.has(key) && !deleted) blocks.set(key, new Block(key));
    if (!deleted) blocks.get(key).take(entry);
    else if (blocks.has(key)) blocks.get(key).paper.remove(), blocks.delete(key);
  }
  const papers = [...blocks.keys()].sort().map((key) => blocks.get(key).paper);
  if (papers.some((paper, i) => paper !== element("document").children[i])) element("document").append(...papers);
});
element("append").onclick = () => db.push("document/blocks", { text: "", by: element("name").value }).catch(report);

// Carets are messages of a topic, because nobody needs an old one. The will removes the caret.
const topic = "document/cursors";
db.will({ topic, value: { id } }).catch(report);
addEventListener("pagehide", () => db.publish(topic, { id }).catch(() => {}));
document.addEventListener("selectionchange", () => {
  const { dataset: { key }, selectionStart: at } = document.activeElement;
  if (db.state === "open") db.publish(topic, { id, name: element("name").value, key, at }).catch(() => {});
});
for await (const { value, missed } of db.topic(topic)) {
  if (missed || value?.id === id) continue;
  for (const block of blocks.values()) if (block.carets.delete(value?.id)) block.show();
  blocks.get(value?.key)?.carets.set(value.id, value);
  blocks.get(value?.key)?.show();
}
