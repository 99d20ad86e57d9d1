// The page: a CodeMirror editor on a document that all its readers write.

import { keymap } from "@codemirror/view";
import { basicSetup, EditorView } from "codemirror";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { connect } from "/rtdb.js"; // the server has it
import { RtdbProvider } from "./provider.js";

const element = (id) => document.getElementById(id);
const documentName = location.hash.slice(1) || "notes"; // /#minutes opens the document "minutes"
addEventListener("hashchange", () => location.reload());

// The connection. The button closes its socket, and then holds back the next attempt.
let socket;
let pause = Promise.resolve();
class Socket extends WebSocket {
  constructor(...args) {
    super(...args);
    socket = this;
  }
}
const doc = new Y.Doc();
const client = connect(location.origin, { client: `page-${doc.clientID}`, WebSocket: Socket, token: () => pause });
element("cut").onclick = () => {
  pause = new Promise((over) => setTimeout(over, 5_000));
  socket.close(4000);
};

// The document
const awareness = new Awareness(doc);
const provider = new RtdbProvider(client, documentName, doc, { awareness });
const text = doc.getText("text");
const editor = new EditorView({
  extensions: [
    keymap.of(yUndoManagerKeymap), // before the keys of basicSetup: undo only the edits of this page
    basicSetup,
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": "Text" }),
    yCollab(text, awareness),
  ],
  parent: element("editor"),
});

// The state of the document
const SAYS = {
  loading: "Loading the document",
  offline: "Offline: go on writing, your edits are sent later",
  saving: "Saving",
  saved: "All changes are saved",
};
const show = () => {
  element("state").textContent = SAYS[provider.state];
  element("state").className = provider.state;
};
provider.addEventListener("change", show);
show();
for (const source of [client, provider]) {
  source.addEventListener("error", ({ error }) => (element("error").textContent = error.message));
}
addEventListener("beforeunload", (event) => provider.isSaved || event.preventDefault());

// The people
const COLORS = ["#b3261e", "#7b4f00", "#2e6b2e", "#00696f", "#1b5fb8", "#7a3ea1"];
const isColor = (color) => /^#[0-9a-f]{6}$/i.test(color);
const pick = (list) => list[Math.floor(Math.random() * list.length)];
element("name").value = pick(["Ada", "Edsger", "Grace", "Barbara", "Tony", "Radia"]);
element("color").value = pick(COLORS);
const introduce = () => {
  const color = element("color").value;
  awareness.setLocalStateField("user", { name: element("name").value || "Anonymous", color, colorLight: color + "33" });
};
element("name").oninput = element("color").oninput = introduce;
introduce();
awareness.on("change", () => {
  const people = [...awareness.getStates()].filter(([id, { user }]) => id !== doc.clientID && user);
  element("people").replaceChildren(...people.map(([, { user }]) => {
    const item = document.createElement("li");
    item.textContent = String(user.name).slice(0, 40);
    if (isColor(user.color)) item.style.backgroundColor = user.color;
    return item;
  }));
});

Object.assign(window, { doc, editor, provider, client }); // for the browser's console
