// Code in Go for the selection.

import { address, base } from "./calls.js";
import { goQuote } from "./quote.js";

const fatal = ["if err != nil {", "\tlog.Fatal(err)", "}"];

// goOf returns a program that does something with a selection, as snippet does.
export function goOf(action, { key, pattern, topic, value }, hasToken) {
  const name = goQuote(key ?? pattern ?? topic);
  const raw = `json.RawMessage(${goQuote(value ?? "null")})`;
  switch (action) {
    case "read":
      return program(
        hasToken,
        `entry, ok, err := client.Get[json.RawMessage](ctx, c, ${name})`,
        ...fatal,
        "fmt.Println(ok, string(entry.Value), entry.Version)",
      );
    case "write":
      return program(hasToken, `version, err := client.Set(ctx, c, ${name}, ${raw})`, ...fatal, "fmt.Println(version)");
    case "publish":
      return program(
        hasToken,
        `if err := client.Publish(ctx, c, ${name}, ${raw}); err != nil {`,
        "\tlog.Fatal(err)",
        "}",
      );
    case "listen":
      return program(
        hasToken,
        ...loop(
          "message",
          `Listen[json.RawMessage](ctx, c, ${name})`,
          "message.Topic, string(message.Value), message.Missed",
        ),
      );
    case "list":
      return program(
        hasToken,
        ...loop(
          "entry",
          `List[json.RawMessage](ctx, c, client.ListOptions{Pattern: ${name}})`,
          "entry.Key, string(entry.Value)",
        ),
      );
    case "follow":
      return program(
        hasToken,
        ...loop(
          "change",
          `Watch[json.RawMessage](ctx, c, ${name})`,
          "change.Key, string(change.Value), change.Deleted",
        ),
      );
  }
  if (key !== undefined)
    return program(hasToken, `if _, err := client.Delete(ctx, c, ${name}); err != nil {`, "\tlog.Fatal(err)", "}");
  return deleteAll(pattern, hasToken);
}

function loop(item, call, fields) {
  return [
    `for ${item}, err := range client.${call} {`,
    ...fatal.map((line) => "\t" + line),
    `\tfmt.Println(${fields})`,
    "}",
  ];
}

// program returns a program that connects and then runs lines.
function program(hasToken, ...lines) {
  const option = hasToken
    ? ', client.WithToken(func(context.Context) (string, error) { return os.Getenv("RTDB_TOKEN"), nil })'
    : "";
  return file([
    "ctx := context.Background()",
    `c, err := client.Dial(ctx, ${goQuote(base.href)}${option})`,
    ...fatal,
    "defer c.Close()",
    ...lines,
  ]);
}

// deleteAll returns a program that deletes the keys of a pattern, up to 1000 by each call.
function deleteAll(pattern, hasToken) {
  const url = goQuote(new URL(address("data", undefined, { pattern }), base).href);
  return file([
    "for more := true; more; {",
    ...[
      `r, err := http.NewRequest("DELETE", ${url}, nil)`,
      ...fatal,
      ...(hasToken ? ['r.Header.Set("Authorization", "Bearer "+os.Getenv("RTDB_TOKEN"))'] : []),
      "answer, err := http.DefaultClient.Do(r)",
      ...fatal,
      "var done struct {",
      "\tDeleted int",
      "\tNext    string",
      "}",
      "err = json.NewDecoder(answer.Body).Decode(&done)",
      "answer.Body.Close()",
      "if err != nil || answer.StatusCode != http.StatusOK {",
      "\tlog.Fatal(answer.Status, err)",
      "}",
      "fmt.Println(done.Deleted)",
      'more = done.Next != ""',
    ].map((line) => "\t" + line),
    "}",
  ]);
}

const packages = ["context", "encoding/json", "fmt", "log", "net/http", "os"];

// file returns a Go file whose function main has lines. It imports the packages that they use.
function file(lines) {
  const text = lines.join("\n");
  const uses = (path) => text.includes(path.split("/").at(-1) + ".");
  const imports = packages.filter(uses).map((path) => `\t"${path}"`);
  if (uses("client")) imports.push("", '\t"rtdb/transport/client"');
  return [
    "package main",
    "",
    "import (",
    ...imports,
    ")",
    "",
    "func main() {",
    ...lines.map((line) => "\t" + line),
    "}",
    "",
  ].join("\n");
}
