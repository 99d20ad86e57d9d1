// Live values of the keys that are visible.

// LiveValues subscribes to keys while they are wanted. Nothing subscribes to more than
// the visible keys, however many keys there are.
export class LiveValues {
  #server;
  #changed;
  #groups = new Set(); // { view, keys, stop, error }
  #timer;
  #wanted = new Set();

  // changed is called after a change. It may be called often.
  constructor(server, changed) {
    this.#server = server;
    this.#changed = changed;
  }

  // want sets the keys that are wanted. Subscriptions change a moment later, so that fast
  // scrolling causes none.
  want(keys) {
    this.#wanted = new Set(keys);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#settle(), 120);
  }

  #settle() {
    const missing = new Set(this.#wanted);
    for (const group of this.#groups) {
      if (!group.keys.some((k) => this.#wanted.has(k))) this.#end(group);
      else for (const k of group.keys) missing.delete(k);
    }
    if (missing.size === 0 || !this.#server.client) return;
    const group = { keys: [...missing], error: null };
    group.view = this.#server.client.view(group.keys);
    group.stop = group.view.subscribe(() => this.#changed());
    group.view.ready.then(
      () => {
        group.isReady = true;
        this.#changed();
      },
      (err) => {
        group.error = err;
        this.#changed();
      },
    );
    this.#groups.add(group);
  }

  #end(group) {
    this.#groups.delete(group);
    group.stop();
    group.view.close();
  }

  // get returns the entry of a key, null if there is no such key, or undefined if that is not
  // known.
  get(key) {
    for (const group of this.#groups) {
      if (!group.keys.includes(key)) continue;
      if (group.view.stale) return undefined; // its entries may be of a server that is gone
      return group.view.get(key) ?? (group.isReady ? null : undefined);
    }
    return undefined;
  }

  // error is the refusal of a subscription, or null.
  get error() {
    return [...this.#groups].find((g) => g.error)?.error ?? null;
  }

  get isStale() {
    return [...this.#groups].some((g) => g.view.stale);
  }

  // reset ends all subscriptions, and makes those that are wanted with the server's present
  // client.
  reset() {
    for (const group of this.#groups) this.#end(group);
    this.#settle();
  }

  close() {
    clearTimeout(this.#timer);
    for (const group of this.#groups) this.#end(group);
  }
}
