// The types of rtdb.js. README.md is the manual.

/**
 * Connects to an rtdb server and stays connected until {@link Client.close}.
 *
 * Returns at once; {@link Client.ready} waits for the connection. Requests and views may be made
 * before the connection is there.
 *
 * @param url - The server's address: `http:`, `https:`, `ws:` or `wss:`, with the path prefix of a
 *   proxy if there is one. A page may omit it if the server has served the page.
 * @throws TypeError if the URL is wrong.
 */
export function connect(url?: string | URL, options?: Options): Client;

export interface Options {
  /**
   * Returns the token. It is asked before each connect attempt, and when the token is about to
   * expire. It may take its time, for example for a dialog. If it throws {@link Unauthorized}, the
   * client ends; after another error the client tries again. An empty token means none.
   */
  token?: () => string | null | undefined | Promise<string | null | undefined>;

  /**
   * The name of this client, 1 to 128 bytes. A newer client of the same name and the same token
   * subject replaces this one: then this client ends with the code `replaced`. It also makes the
   * server carry out the wills of a lost connection before the new one goes on.
   */
  client?: string;

  /**
   * The WebSocket class, if there is no global one: in Node 20 the one of the package `ws`. With
   * `null` the client uses event streams and plain requests.
   */
  WebSocket?: WebSocketConstructor | null;

  /**
   * Reads and writes the JSON of whole messages, for values that `JSON` would change, such as
   * integers beyond 2^53. The members `id`, `version`, `revision` and `at` must stay numbers.
   */
  parse?: (text: string) => any;
  stringify?: (message: any) => string;

  /**
   * The wait before an attempt is random, up to `min` milliseconds and doubled by each failure up
   * to `max`; by default 500 and 20,000. At most 20 attempts begin in a minute, or 10,000 / `min` if
   * that is more.
   */
  backoff?: { min?: number; max?: number };

  /** The time between two pings that check the connection, in milliseconds; by default 25,000. */
  pingAfter?: number;

  /** The longest wait for a sign of life before the connection is given up, in milliseconds; by default 8,000. */
  pingTimeout?: number;

  /** The longest wait of a request for a connection and its reply, in milliseconds; by default 10,000. */
  writeTimeout?: number;
}

/** A class like the browser's `WebSocket`. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => any;

/** The version of a write: an integer, larger than that of every earlier write to any key. */
export type Version = number;

/** A key and its value. */
export interface Entry<T = unknown> {
  readonly key: string;
  readonly value: T;
  readonly version: Version;
  /** When the value was written, in milliseconds of Unix time; absent after {@link Client.update}. */
  readonly at?: number;
  /** The seconds until the key expires, if it has a time to live. Only {@link Client.get} tells it. */
  readonly expires_in?: number;
}

/** A write, or a delete or an expiry with `deleted`. */
export type Change<T = unknown> =
  | (Entry<T> & { readonly deleted?: undefined })
  | {
      readonly key: string;
      readonly value: null;
      readonly deleted: true;
      /** Absent if the client has missed the delete, and found out later. */
      readonly version?: Version;
      readonly at?: number;
    };

/**
 * A message of a topic; or, with `missed`, the number of messages that were dropped because this
 * reader or the connection was too slow. `missed: true` means that the number is not known, because
 * the connection was lost, or messages were lost between the nodes of the server. Then `topic` may
 * be the pattern.
 */
export type Message<T = unknown> =
  | { readonly topic: string; readonly value: T; readonly missed?: undefined }
  | { readonly topic: string; readonly value?: undefined; readonly missed: number | true };

export type State = "connecting" | "open" | "waiting" | "closed";

export interface ReadOptions {
  /** Ends the wait. A write that was sent may have been made all the same. */
  signal?: AbortSignal;
}

export interface WriteOptions extends ReadOptions {
  /** Write only if the key has this version; 0: only if there is no such key. */
  ifVersion?: Version;
  /** The seconds until the key expires. A `set` without it makes the key permanent. */
  ttl?: number;
}

/** A write or a message that the server makes if this client is gone without {@link Client.close}. */
export type Will =
  | { key: string; value: unknown; ttl?: number; ifVersion?: Version }
  | { key: string; delete: true; ifVersion?: Version }
  | { topic: string; value: unknown };

/**
 * A connection to a server.
 *
 * All promises settle. A request that is made without a connection waits for one, for `writeTimeout`
 * at most, and then rejects with the code `offline`: it was not sent. A write that was sent and has no
 * reply rejects with `unknown_outcome`: it may have been made, and is not repeated.
 */
export interface Client extends EventTarget {
  /** `waiting` is the time between two attempts. `closed` is final. */
  readonly state: State;

  /** Resolves when the client is connected. Rejects if it has ended for good, or at the signal. */
  ready(signal?: AbortSignal): Promise<void>;

  /** Reads a key. Resolves to `undefined` if there is no such key. */
  get<T = unknown>(key: string, options?: ReadOptions): Promise<Entry<T> | undefined>;

  /** Writes a key. Resolves to the version of the write. */
  set(key: string, value: unknown, options?: WriteOptions): Promise<Version>;

  /** Changes a part of a value by a JSON Merge Patch (RFC 7396). */
  patch(key: string, patch: unknown, options?: WriteOptions): Promise<Version>;

  /** Deletes a key. Rejects with `not_found` if there is no such key. */
  delete(key: string, options?: Omit<WriteOptions, "ttl">): Promise<Version>;

  /** Sets a new time to live, in seconds. Tells no subscriber. */
  touch(key: string, ttl: number, options?: Omit<WriteOptions, "ttl">): Promise<Version>;

  /**
   * Reads a key, calls `change`, and writes its result if no other client has written meanwhile;
   * otherwise tries again, `tries` times in all (20). `change` may be called several times. If it
   * returns `undefined`, nothing is written, and the old entry is the result, or `undefined` if
   * there is no such key.
   */
  update<T extends {} | null>(
    key: string,
    change: (old: Entry<T> | undefined) => T | Promise<T>,
    options?: { tries?: number; ttl?: number; signal?: AbortSignal },
  ): Promise<Entry<T>>;
  update<T = unknown>(
    key: string,
    change: (old: Entry<T> | undefined) => T | undefined | Promise<T | undefined>,
    options?: { tries?: number; ttl?: number; signal?: AbortSignal },
  ): Promise<Entry<T> | undefined>;

  /**
   * Writes a value under a new key below `prefix`, and returns the key. The keys sort by time: they
   * end with a ULID in lower case.
   */
  push(prefix: string, value: unknown, options?: { ttl?: number; signal?: AbortSignal }): Promise<string>;

  /** Sends a message to the present subscribers. Never waits for a connection: rejects with `offline`. */
  publish(topic: string, value: unknown, options?: ReadOptions): Promise<void>;

  /**
   * Leaves a will, and leaves it again after each reconnect. The result withdraws it. Needs a
   * WebSocket; otherwise rejects with `unsupported`.
   */
  will(what: Will): Promise<() => Promise<void>>;

  /**
   * Opens a live map of the keys that match a pattern, or of the keys of a list. Views of the same
   * names share one subscription.
   */
  view<T = unknown>(what: string | readonly string[], options?: { signal?: AbortSignal }): View<T>;

  /**
   * Messages of a topic or of a pattern of topics. The subscription begins with the loop and ends
   * with it. Up to 1000 messages wait for a slow reader; in place of others it gets `missed`.
   */
  topic<T = unknown>(topic: string): AsyncIterable<Message<T>>;

  /** Ends the client for good. Its wills are not carried out. Resolves when the connection is closed. */
  close(): Promise<void>;

  addEventListener(type: "statechange", listener: (event: Event) => void, options?: AddEventListenerOptions | boolean): void;
  /** An error that no promise reports. A repeated error is reported once. */
  addEventListener(type: "error", listener: (event: ErrorEvent) => void, options?: AddEventListenerOptions | boolean): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: AddEventListenerOptions | boolean): void;
}

/** The event `error` of a {@link Client}: an {@link RTDBError}, or the error that the token function threw. */
export interface ErrorEvent extends Event {
  readonly error: RTDBError | (Error & { readonly code?: unknown });
}

/**
 * A live map. Iterating over it yields the entries that are there, and then each change; for a slow
 * reader only the newest of each key.
 */
export interface View<T = unknown> extends AsyncIterable<Change<T>> {
  /** Resolves when the values are there. Rejects if the server refuses the view, or it is closed. */
  readonly ready: Promise<void>;

  /**
   * True while the values may be old: without a connection, with a doubtful one, while catching up,
   * or while the server says that it is cut off from the other nodes.
   */
  readonly stale: boolean;

  /** Returns the entry of a key, or `undefined` if the view has no such key. */
  get(key: string): Entry<T> | undefined;

  /** Returns all entries. The result is the same object until something changes, and never changes itself. */
  snapshot(): ReadonlyMap<string, Entry<T>>;

  /**
   * Calls the listener with the changes after each message, and with none if only `stale` has
   * changed. Returns a function that ends this. It needs no `this`, so it fits React's
   * `useSyncExternalStore(view.subscribe, view.snapshot)`.
   */
  subscribe(listener: (changes: readonly Change<T>[]) => void): () => void;

  /** Ends the view. It tells no more changes, and is stale. Its values follow while another view shares them. */
  close(): void;
}

/** The codes of the server, and those of the client. */
export type Code =
  | "invalid_request" | "invalid_name" | "invalid_value" | "unauthorized" | "forbidden" | "not_found"
  | "method_not_allowed" | "version_mismatch" | "too_large" | "unsupported_media_type" | "limit_reached"
  | "rate_limited" | "internal" | "unavailable"
  /** There is no connection; the request was not sent. */
  | "offline"
  /** A write was sent, and its reply did not come. It may have been made. */
  | "unknown_outcome"
  /** A read was sent, and its reply did not come. */
  | "timeout"
  /** The client or the view was closed. */
  | "closed"
  /** A newer client of the same name has taken its place. Final. */
  | "replaced"
  /** The operator has ended the session. The client connects again later. */
  | "kicked"
  /** The server has ended the session because of its rules, such as a missing token. */
  | "refused"
  /** The address belongs to another program. */
  | "not_rtdb"
  /** The server sent something that is not JSON. */
  | "bad_answer"
  /** This needs a WebSocket. */
  | "unsupported";

export class RTDBError extends Error {
  constructor(code: Code, message: string, version?: Version);
  readonly code: Code;
  /** With `version_mismatch`: the current version of the key; 0 if there is none. */
  readonly version?: Version;
}

/** The token function throws it if there will be no token. Ends the client. */
export class Unauthorized extends RTDBError {
  constructor(message?: string);
}
