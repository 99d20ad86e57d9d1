// Code in Go for what is selected.

import { address, base } from "./calls.js";
import { goQuote } from "./quote.js";

// goOf returns a program that does something with a selection, as snippet does.
export function goOf(action, { key, pattern, topic, value }, hasToken) {
  const k = goQuote(key ?? pattern ?? topic);
  const raw = `json.RawMessage(${goQuote(value ?? "null")})`;
  const imports = new Set(["context", "log"]);
  const body = [];
  const loop = (call, print) =>
    body.push(`\tfor ${print}, err := range ${call} {`, ...failure(2), `\t\tfmt.Printf("%+v\\n", ${print})`, "\t}");
  const use = (...names) => names.forEach((n) => imports.add(n));
  let connects = true;
  switch (action) {
    case "read":
      use("encoding/json", "fmt");
      body.push(
        `\tentry, ok, err := client.Get[json.RawMessage](ctx, c, ${k})`,
        ...failure(1),
        "\tfmt.Println(ok, string(entry.Value), entry.Version)",
      );
      break;
    case "write":
      use("encoding/json", "fmt");
      body.push(`\tversion, err := client.Set(ctx, c, ${k}, ${raw})`, ...failure(1), "\tfmt.Println(version)");
      break;
    case "publish":
      use("encoding/json");
      body.push(`\tif err := client.Publish(ctx, c, ${k}, ${raw}); err != nil {`, "\t\tlog.Fatal(err)", "\t}");
      break;
    case "listen":
      use("encoding/json", "fmt");
      loop(`client.Listen[json.RawMessage](ctx, c, ${k})`, "message");
      break;
    case "follow":
      use("encoding/json", "fmt");
      loop(`client.Watch[json.RawMessage](ctx, c, ${k})`, "change");
      break;
    default:
      if (key !== undefined) {
        body.push(`\tif err := client.Delete(ctx, c, ${k}); err != nil {`, "\t\tlog.Fatal(err)", "\t}");
        break;
      }
      connects = false;
  }
  if (!connects)
    return goCall(
      action === "delete" ? "DELETE" : "GET",
      address("data", undefined, action === "list" ? { pattern, limit: 1000 } : { pattern }),
      hasToken,
    );
  if (hasToken) use("os");
  const option = hasToken
    ? ', client.WithToken(func(context.Context) (string, error) { return os.Getenv("RTDB_TOKEN"), nil })'
    : "";
  return goFile(imports, '\t"rtdb/transport/client"', [
    "\tctx := context.Background()",
    `\tc, err := client.Dial(ctx, ${goQuote(base.href)}${option})`,
    ...failure(1),
    "\tdefer c.Close()",
    ...body,
  ]);
}

function failure(depth) {
  const tabs = "\t".repeat(depth);
  return [`${tabs}if err != nil {`, `${tabs}\tlog.Fatal(err)`, `${tabs}}`];
}

function goCall(method, path, hasToken) {
  return goFile(new Set(["io", "log", "net/http", "os"]), "", [
    `\tr, err := http.NewRequest(${goQuote(method)}, ${goQuote(new URL(path, base).href)}, nil)`,
    ...failure(1),
    ...(hasToken ? ['\tr.Header.Set("Authorization", "Bearer "+os.Getenv("RTDB_TOKEN"))'] : []),
    "\tanswer, err := http.DefaultClient.Do(r)",
    ...failure(1),
    "\tdefer answer.Body.Close()",
    "\tif _, err := io.Copy(os.Stdout, answer.Body); err != nil {",
    "\t\tlog.Fatal(err)",
    "\t}",
  ]);
}

function goFile(imports, own, body) {
  const list = [...imports].sort().map((i) => `\t"${i}"`);
  if (own !== "") list.push("", own);
  return ["package main", "", "import (", ...list, ")", "", "func main() {", ...body, "}", ""].join("\n");
}
