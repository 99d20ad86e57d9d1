// Presence shares an Awareness of y-protocols (names, cursors) by a topic.

import { fromBase64, toBase64 } from "lib0/buffer";
import { applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from "y-protocols/awareness";

const BATCH = 50; // ms in which changes are collected to one message

/**
 * Tells the other clients the local state, and takes theirs. A message has
 *
 * - `from`: the sender's client ID
 * - `state`: its state, as y-protocols encodes it in an update, in base64
 * - `ask`: true if the other clients must send their states, because the sender is new
 * - `gone`: true if the sender has left. The server sends this one, as the sender's will
 */
export class Presence {
  #client;
  #topic;
  #awareness;
  #fail;
  #messages;
  #will; // a promise of the function that withdraws it
  #timer;

  constructor(client, topic, awareness, fail) {
    this.#client = client;
    this.#topic = topic;
    this.#awareness = awareness;
    this.#fail = fail;
    this.#messages = client.topic(topic)[Symbol.asyncIterator]();
    this.#listen().catch(this.#failed);
    awareness.on("update", this.#updated);
    client.addEventListener("statechange", this.#linked);
    this.#linked();
  }

  /** Tells the other clients that this one has left. */
  async destroy() {
    this.#awareness.off("update", this.#updated);
    this.#client.removeEventListener("statechange", this.#linked);
    clearTimeout(this.#timer);
    this.#messages.return();
    await this.#publish({ gone: true });
    const withdraw = await this.#will;
    await withdraw?.().catch(this.#failed);
  }

  #linked = () => {
    if (this.#client.state !== "open") {
      // The other clients may have gone. They send their states again after a reconnect.
      const others = [...this.#awareness.getStates().keys()].filter((id) => id !== this.#awareness.clientID);
      return removeAwarenessStates(this.#awareness, others, this);
    }
    this.#will ??= this.#client
      .will({ topic: this.#topic, value: { from: this.#awareness.clientID, gone: true } })
      .catch((error) => {
        this.#will = undefined; // the next connection tries again
        this.#failed(error);
      });
    this.#publish({ ask: true });
    this.#announce();
  };

  // announce makes the state newer, because the other clients do not take a state again
  // that they had removed.
  #announce() {
    this.#awareness.setLocalState(this.#awareness.getLocalState());
  }

  #updated = ({ added, updated, removed }, origin) => {
    const { clientID } = this.#awareness;
    if (origin === this || ![added, updated, removed].some((ids) => ids.includes(clientID))) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#publish({ state: toBase64(encodeAwarenessUpdate(this.#awareness, [clientID])) });
    }, BATCH);
  };

  async #listen() {
    for await (const { value, missed } of this.#messages) {
      if (missed) this.#publish({ ask: true });
      else this.#take(value);
    }
  }

  #take(message) {
    const { from, state, ask, gone } = message ?? {};
    if (from === this.#awareness.clientID) {
      if (gone) this.#announce(); // the will of a lost connection, and the client is back already
      return;
    }
    if (ask) this.#announce();
    if (gone) removeAwarenessStates(this.#awareness, [from], this);
    if (state === undefined) return;
    try {
      applyAwarenessUpdate(this.#awareness, fromBase64(state), this);
    } catch (error) {
      this.#fail(new Error(`client ${from} sent a state to the topic ${this.#topic} that is not an awareness update: ${error.message}`));
    }
  }

  #publish(message) {
    const value = { from: this.#awareness.clientID, ...message };
    return this.#client.publish(this.#topic, value).catch(this.#failed);
  }

  // Without a connection, or without wills (the client uses HTTP alone), the other clients remove
  // the state after 30 s: Awareness does that.
  #failed = (error) => {
    if (!["offline", "unknown_outcome", "timeout", "unsupported", "closed"].includes(error.code)) this.#fail(error);
  };
}
