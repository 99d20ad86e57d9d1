// Package session wraps one client in an actor: what it subscribed to, and
// what waits to be sent to it.
//
// # Model
//
// A [Session] stands between the keyspace, whose actors deliver updates and
// must never wait, and a [Conn], which takes as long as its client does. The
// updates go into the session's mailbox; its actor takes what waits, in order,
// and hands it to the Conn, many messages at a time. An idle session has no
// goroutine.
//
// The transport's reader, one goroutine for each client, calls Subscribe,
// Reply and their like. It answers requests in the order they came, so replies
// and updates have one order: the reply to a subscribe, and to a get of a key
// that is subscribed to, is queued by the key's actor, in its place among the
// updates; and nothing of a name comes after the reply to its unsubscribe.
//
// # Slow clients
//
// At most MaxPendingBytes wait for a session. An update that finds more than
// that ends the session with [ErrTooSlow]; Options.OnLag is told of a client
// that has fallen behind before it comes to that. A reply instead waits for
// room: a client that asks faster than it reads slows only itself.
//
// # Ending
//
// Close sends what waits, then tells the client why; Abort drops what waits
// and tells the client why, if that is still possible. The first cause counts.
// After End no key and no topic knows the session any more. The order in End
// is: let the client go, then the subscriptions, for those wait for the keys'
// actors and the client need not.
package session
