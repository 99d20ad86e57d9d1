// Package session wraps one client in an actor: what it subscribed to, what
// waits to be sent to it, and what is written when it is gone.
//
// # Model
//
// A [Session] stands between the keyspace, whose actors deliver updates and
// must never wait, and a [Conn], which takes as long as its client does. What
// is to be sent goes into the session's outbox, in order; its actor takes it
// out and hands it to the Conn, many messages at a time. An idle session has no
// goroutine. With Options.Pool one that is not idle has none either, but while its
// client does not take at once what is written.
//
// The transport's reader, one goroutine for each client, calls Subscribe,
// Reply and their like. It answers requests in the order they came, so replies
// and updates have one order: the reply to a subscribe, and to a get of a key
// that is subscribed to, is queued by the key's actor, in its place among the
// updates; and nothing of a name comes after the reply to its unsubscribe.
//
// # Slow clients
//
// Up to 256 updates and 64 KiB wait one by one. Of a client that has fallen
// behind that, the newest update of each key takes the place of the first that
// waits, until it has caught up, so what
// waits is bounded by the keys, and the client ends at the current state. No
// update goes over an answer that stands before it. Options.OnLag is told of a
// client that stays behind.
//
// What is published to topics cannot be conflated: while MaxPendingBytes of it
// wait more is dropped, and before the next message of a topic the client is told
// how many it has missed. What a client asks for, answers and
// snapshots, waits for room: a client that asks faster than it reads slows only
// itself. A snapshot is read from the keys as fast as the client takes it, and
// is not cut short.
//
// # Ending
//
// Close sends what waits, then tells the client why; Abort drops what waits
// and tells the client why, if that is still possible. The first cause counts.
// After End no key and no topic knows the session any more, and its wills are
// carried out. The order in End is: let the client go, then the subscriptions,
// for those wait for the keys' actors and the client need not; the wills last,
// for the session is not to be told of them.
package session
