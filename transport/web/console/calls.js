// Calls of the server's REST interface.

import { checkName } from "./pattern.js";
import { parse } from "./json.js";

// base is the address of the server's API. A proxy may serve it below a path of its own.
export const base = new URL("..", import.meta.url);

const timeout = 30_000; // ms, of a call

// A CallError is a refusal of the server, or a failure to reach it. status is 0 if no
// answer came.
export class CallError extends Error {
  constructor(status, code, message, version) {
    super(message);
    Object.assign(this, { status, code, version });
  }
}

// address returns the path and the query of a call. The slashes of the name stay. A query
// has no "+", which the server reads as a space, or as a wildcard.
export function address(path, name, query) {
  let text = path;
  if (name !== undefined) text += "/" + name.split("/").map(encodeURIComponent).join("/");
  const pairs = Object.entries(query ?? {}).filter(([, v]) => v !== undefined && v !== "" && v !== false);
  if (pairs.length > 0) text += "?" + pairs.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
  return text;
}

// Calls make requests with the token that token returns, "" for none.
export class Calls {
  #token;
  #refused;

  // refused is called with the message if the server does not accept the token, or asks
  // for one.
  constructor(token, refused) {
    this.#token = token;
    this.#refused = refused;
  }

  // request makes a request. It returns the text of the answer.
  async request(method, path, { body, headers, signal } = {}) {
    const token = this.#token();
    const all = { ...headers };
    if (token !== "") all.Authorization = `Bearer ${token}`;
    if (body !== undefined) all["Content-Type"] = "application/json";
    let answer, text;
    try {
      answer = await fetch(new URL(path, base), {
        method,
        body,
        headers: all,
        signal: AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])]),
        cache: "no-store",
        credentials: "same-origin",
      });
      text = await answer.text();
    } catch (err) {
      if (signal?.aborted) throw err;
      const written = method === "GET" || method === "HEAD" ? "" : ": the change may have been made, or not";
      throw new CallError(
        0,
        "offline",
        `no answer from ${base.host}${written}; look whether the server runs, and try again`,
      );
    }
    if (answer.ok) return text;
    let error;
    try {
      error = parse(text).error;
    } catch {
      /* a proxy's page, reported below */
    }
    if (!error?.code) {
      throw new CallError(
        answer.status,
        "unknown",
        `${base.host} answered with status ${answer.status} and no rtdb error: look at the proxy in front of the server`,
      );
    }
    if (answer.status === 401) this.#refused(error.message);
    throw new CallError(answer.status, error.code, error.message, error.version);
  }

  async #json(method, path, options) {
    const text = await this.request(method, path, options);
    try {
      return parse(text);
    } catch {
      throw new CallError(
        200,
        "unknown",
        `${base.host} answered with a text that is not JSON: it is not an rtdb server, or a proxy changed the answer`,
      );
    }
  }

  // check asks whether the server accepts the token.
  check(signal) {
    return this.request("GET", "openapi.json", { signal });
  }

  // list lists keys. query has the parameters of GET /data.
  list(query, signal) {
    return this.#json("GET", address("data", undefined, query), { signal });
  }

  // read returns { key, value, version, at, expires_in }, in which value is a JSON text, or
  // null if there is no such key.
  async read(key, signal) {
    try {
      return await this.#json("GET", address("data", named(key)), { signal });
    } catch (err) {
      if (err.code === "not_found") return null;
      throw err;
    }
  }

  // write writes a value, which is a JSON text. version is the version that the key must
  // have, 0 for none. ttl is in seconds.
  write(key, value, { version, ttl } = {}) {
    const expiry = ttl === undefined ? "" : `,"ttl":${ttl}`;
    return this.#json("PUT", address("data", named(key)), {
      body: `{"value":${value}${expiry}}`,
      headers: condition(version),
    });
  }

  remove(key, version) {
    return this.request("DELETE", address("data", named(key)), { headers: condition(version) });
  }

  // touch sets the time to live of a key, in seconds.
  async touch(key, ttl) {
    const body = `{"items":[{"key":${JSON.stringify(named(key))},"touch":true,"ttl":${ttl}}]}`;
    const {
      results: [result],
    } = await this.#json("POST", "data", { body });
    if (result.error) throw new CallError(200, result.error.code, result.error.message, result.error.version);
  }

  // removeAll deletes up to 1000 keys that match a pattern. It returns { deleted, next }.
  removeAll(pattern, after, signal) {
    return this.#json("DELETE", address("data", undefined, { pattern, after }), { signal });
  }

  publish(topic, value) {
    return this.request("POST", address("topics", named(topic)), { body: `{"value":${value}}` });
  }

  sessions(sort, signal) {
    return this.#json("GET", address("sessions", undefined, { sort, limit: 200 }), { signal });
  }
  kick(id) {
    return this.request("DELETE", address("sessions", id));
  }
  topics(query, signal) {
    return this.#json("GET", address("topics", undefined, query), { signal });
  }
  metrics(signal) {
    return this.request("GET", "metrics", { signal });
  }
}

function named(name) {
  const wrong = checkName(name);
  if (wrong !== "") throw new CallError(0, "invalid_name", `${JSON.stringify(name)}: ${wrong}`);
  return name;
}

function condition(version) {
  if (version === undefined) return {};
  return version === 0 ? { "If-None-Match": "*" } : { "If-Match": `"${version}"` };
}

// operatorHint says what to do if one of the operator's calls is refused with a code, or "".
export function operatorHint(code) {
  switch (code) {
    case "not_found":
      return (
        "This server answers the operator's calls on an address of its own (--admin-addr), which this page cannot call. " +
        "Ask that address with curl. Or start the server without --admin-addr, and sign in with a token that has “admin”."
      );
    case "unauthorized":
      return "The operator's calls need a token with “admin”: sign in with one, which `rtdb token --admin` makes.";
    case "forbidden":
      return "The token does not have “admin”: sign in with one that has it, which `rtdb token --admin` makes.";
  }
  return "";
}
