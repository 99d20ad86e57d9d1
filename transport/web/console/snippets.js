// Code for what is selected, as curl commands, JavaScript and Go.

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

// actionsOf returns what can be done with a selection, which has a key and a value, a
// pattern, or a topic and a value.
export function actionsOf(selection) {
  if (selection.key !== undefined) return ["read", "write", "follow", "delete"];
  if (selection.topic !== undefined) return isPattern(selection.topic) ? ["listen"] : ["publish", "listen"];
  return selection.isDelete ? ["delete", "list", "follow"] : ["list", "follow", "delete"];
}

// snippet returns code that does something with a selection. If there is a token, the code
// reads it from the variable RTDB_TOKEN: it never has the token itself.
export function snippet(language, action, selection, hasToken) {
  return languages[language](action, selection, hasToken);
}

function curlOf(action, { key, pattern, topic, value }, hasToken) {
  const curl = (args, path) =>
    [
      "curl",
      ...args,
      ...(hasToken ? ['-H "Authorization: Bearer $RTDB_TOKEN"'] : []),
      shellQuote(new URL(path, base).href),
    ].join(" ");
  const body = `-d ${shellQuote(`{"value":${value}}`)}`;
  const events = (query) => curl(["-N"], address("events", undefined, query));
  switch (action) {
    case "read":
      return curl([], address("data", key));
    case "write":
      return curl(["-X PUT", body], address("data", key));
    case "list":
      return curl([], address("data", undefined, { pattern, limit: 1000 }));
    case "delete":
      return curl(["-X DELETE"], key !== undefined ? address("data", key) : address("data", undefined, { pattern }));
    case "publish":
      return curl([body], address("topics", topic));
    case "listen":
      return events(isPattern(topic) ? { topicPattern: topic } : { topic });
  }
  return events(key !== undefined ? { key, snapshot: true } : { pattern, snapshot: true });
}

function javaScriptOf(action, { key, pattern, topic, value }, hasToken) {
  const url = jsQuote(base.href);
  const options = hasToken ? ", { token: () => process.env.RTDB_TOKEN }" : "";
  const k = jsQuote(key ?? pattern ?? topic);
  const lines = [
    `import { connect } from ${jsQuote(new URL("rtdb.js", base).href)}`,
    "",
    `const db = connect(${url}${options})`,
  ];
  const call = (path, method, body) => {
    const init = [method && `method: "${method}"`, hasToken && "headers", body && `body: ${jsQuote(body)}`]
      .filter(Boolean)
      .join(", ");
    lines.splice(
      0,
      lines.length,
      ...(hasToken ? ["const headers = { Authorization: `Bearer ${process.env.RTDB_TOKEN}` };"] : []),
      `const answer = await fetch(${jsQuote(new URL(path, base).href)}${init === "" ? "" : `, { ${init} }`})`,
      "console.log(await answer.json())",
    );
  };
  switch (action) {
    case "read":
      lines.push(`console.log(await db.get(${k}))`);
      break;
    case "write":
      if (survives(value)) lines.push(`await db.set(${k}, ${valueLiteral(value)})`);
      else call(address("data", key), "PUT", `{"value":${value}}`);
      break;
    case "publish":
      if (survives(value)) lines.push(`await db.publish(${k}, ${valueLiteral(value)})`);
      else call(address("topics", topic), "POST", `{"value":${value}}`);
      break;
    case "listen":
      lines.push(`for await (const message of db.topic(${k})) console.log(message)`);
      break;
    case "list":
      call(address("data", undefined, { pattern, limit: 1000 }), "");
      break;
    case "delete":
      if (key !== undefined) lines.push(`await db.delete(${k})`);
      else call(address("data", undefined, { pattern }), "DELETE");
      break;
    default:
      lines.push(`for await (const change of db.view(${key !== undefined ? `[${k}]` : k})) console.log(change)`);
  }
  return lines.join("\n") + "\n";
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
