// A program that uses every call, for the compiler alone.
import { connect, RTDBError, Unauthorized } from "../rtdb.js";
import type { Change, Client, Code, Entry, Message, View } from "../rtdb.js";

interface Reading {
  celsius: number;
}

declare const TheWebSocket: new (url: string | URL, protocols?: string | string[]) => { close(): void };

export async function use(signal: AbortSignal): Promise<void> {
  const client: Client = connect("http://localhost:8080", {
    token: async () => {
      if (signal.aborted) throw new Unauthorized("signed out");
      return "token";
    },
    client: "screen-1",
    WebSocket: TheWebSocket,
    backoff: { max: 5_000 },
    pingAfter: 10_000,
    stringify: (message) => JSON.stringify(message),
    parse: JSON.parse,
  });
  connect();
  connect(new URL("https://example.com/prefix"), { WebSocket: null, token: () => undefined });
  client.addEventListener("error", ({ error }) => {
    const code: Code | undefined = error instanceof RTDBError ? error.code : undefined;
    console.error(code, error.message);
  });
  client.addEventListener("statechange", () => console.log(client.state === "open"));
  await client.ready(signal);

  const entry: Entry<Reading> | undefined = await client.get<Reading>("a", { signal });
  const version: number = await client.set("a", { celsius: 20 }, { ttl: 60, ifVersion: entry?.version ?? 0, signal });
  await client.patch("a", { celsius: 21 }, { ifVersion: version });
  await client.touch("a", 60);
  await client.delete("a", { ifVersion: version });
  const { value } = await client.update<Reading>("a", (old) => ({ celsius: (old?.value.celsius ?? 0) + 1 }), { tries: 3, ttl: 5 });
  const same: Entry<Reading> | undefined = await client.update<Reading>("a", (old) => (old ? { celsius: 0 } : undefined));
  // @ts-expect-error There may be no entry.
  console.log((await client.update<Reading>("a", () => undefined)).value, same?.value.celsius);
  const key: string = await client.push("log", value.celsius, { ttl: 60 });
  await client.publish("chat", key, { signal });

  const withdraw = await client.will({ key: "a", value: null, ifVersion: version });
  await client.will({ key: "a", delete: true });
  await client.will({ topic: "chat", value: "bye" });
  await withdraw();

  const view: View<Reading> = client.view<Reading>("devices/+/temp", { signal });
  client.view(["a", "b"] as const);
  await view.ready;
  const leave: () => void = view.subscribe((changes) => {
    for (const change of changes) if (!change.deleted) console.log(change.value.celsius);
  });
  view.subscribe(() => {});
  leave();
  const snapshot: ReadonlyMap<string, Entry<Reading>> = view.snapshot();
  console.log(snapshot.size, view.get("a")?.value.celsius, view.stale);
  for await (const change of view) {
    const one: Change<Reading> = change;
    if (one.deleted) continue;
    console.log(one.value.celsius);
    break;
  }
  view.close();

  for await (const message of client.topic<string>("chat/#")) {
    const one: Message<string> = message;
    if (one.missed !== undefined) console.log(one.missed === true ? "some" : one.missed.toFixed());
    else console.log(one.value.toUpperCase());
  }

  // @ts-expect-error a value is needed
  await client.set("a");
  // @ts-expect-error a key or a topic
  await client.will({ value: 1 });
  // @ts-expect-error a snapshot does not change
  snapshot.set("a", entry!);
  await client.close();
}
