// Code for the selection, as curl commands, JavaScript and Go.

import { address, base } from "./calls.js";
import { goOf } from "./gosnippet.js";
import { isPattern } from "./pattern.js";
import { escapeHidden, jsQuote, shellQuote } from "./quote.js";

const languages = {
  curl: curlOf,
  JavaScript: javaScriptOf,
  Go: goOf,
};

export const languageNames = Object.keys(languages);

// actionsOf returns the actions for a selection, which has a key and a value, a
// pattern, or a topic and a value.
export function actionsOf(selection) {
  if (selection.key !== undefined) return ["read", "write", "follow", "delete"];
  if (selection.topic !== undefined) return isPattern(selection.topic) ? ["listen"] : ["publish", "listen"];
  return selection.isDelete ? ["delete", "list", "follow"] : ["list", "follow", "delete"];
}

// snippet returns code that does something with a selection. It never has the token itself:
// curl and Go read it from the variable RTDB_TOKEN, and JavaScript has a place for it.
export function snippet(language, action, selection, hasToken) {
  return languages[language](action, selection, hasToken);
}

function curlOf(action, { key, pattern, topic, value }, hasToken) {
  const token = hasToken ? ['-H "Authorization: Bearer $RTDB_TOKEN"'] : [];
  const curl = (args, path) => ["curl", ...args, ...token, shellQuote(new URL(path, base).href)].join(" ");
  const body = `-d ${shellQuote(`{"value":${value}}`)}`;
  switch (action) {
    case "read":
      return curl([], address("data", key));
    case "write":
      return curl(["-X PUT", body], address("data", key));
    case "list":
      return curl([], address("data", undefined, { pattern, limit: 1000 }));
    case "publish":
      return curl([body], address("topics", topic));
    case "listen":
      return curl(["-N"], address("events", undefined, isPattern(topic) ? { topicPattern: topic } : { topic }));
    case "follow":
      return curl(["-N"], address("events", undefined, { key, pattern, snapshot: true }));
  }
  if (key !== undefined) return curl(["-X DELETE"], address("data", key));
  return `# Deletes up to 1000 keys. Repeat it while the answer has "next".\n${curl(["-X DELETE"], address("data", undefined, { pattern }))}`;
}

function javaScriptOf(action, { key, pattern, topic, value }, hasToken) {
  const name = jsQuote(key ?? pattern ?? topic);
  const token = hasToken ? ['const token = ""; // put a token here'] : [];
  const withClient = (line) =>
    [
      `import { connect } from ${jsQuote(new URL("rtdb.js", base).href)};`,
      ...token,
      `const db = connect(${jsQuote(base.href)}${hasToken ? ", { token: () => token }" : ""});`,
      line,
    ].join("\n");
  const call = (path, method, body) => {
    const members = [`method: "${method}"`];
    if (hasToken) members.push('headers: { Authorization: "Bearer " + token }');
    if (body) members.push(`body: ${jsQuote(body)}`);
    return `await fetch(${jsQuote(new URL(path, base).href)}, { ${members.join(", ")} })`;
  };
  const withCall = (...args) =>
    [...token, `const answer = ${call(...args)};`, "console.log(answer.status, await answer.text());"].join("\n");
  switch (action) {
    case "read":
      return withClient(`console.log(await db.get(${name}));`);
    case "write":
      if (!survives(value)) return withCall(address("data", key), "PUT", `{"value":${value}}`);
      return withClient(`await db.set(${name}, ${valueLiteral(value)});`);
    case "publish":
      if (!survives(value)) return withCall(address("topics", topic), "POST", `{"value":${value}}`);
      return withClient(`await db.ready();\nawait db.publish(${name}, ${valueLiteral(value)});`);
    case "listen":
      return withClient(`for await (const message of db.topic(${name})) console.log(message);`);
    case "follow":
      return withClient(`for await (const change of db.view(${name})) console.log(change);`);
    case "list":
      return withCall(address("data", undefined, { pattern, limit: 1000 }), "GET");
  }
  if (key !== undefined) return withClient(`await db.delete(${name});`);
  return [
    ...token,
    "let done;",
    "do {",
    `  const answer = ${call(address("data", undefined, { pattern }), "DELETE")};`,
    "  done = await answer.json();",
    "  console.log(done);",
    "} while (done.next);",
  ].join("\n");
}

// survives reports whether a JSON text is the same after JSON.parse: a number may have more
// digits than a JavaScript number.
function survives(value) {
  return JSON.stringify(JSON.parse(value)) === value;
}

// valueLiteral makes a JavaScript expression of a JSON text. In a literal, a member
// __proto__ would set the prototype.
function valueLiteral(value) {
  return value.includes("__proto__") ? `JSON.parse(${jsQuote(value)})` : escapeHidden(value);
}
