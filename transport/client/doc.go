// Package client is the Go client of rtdb. It connects again by itself, resumes its watches
// without a gap, and says when its data may be old.
//
//	c, err := client.Dial(ctx, "http://localhost:8080")
//	version, err := client.Set(ctx, c, "room/1", 21)
//	for change, err := range client.Watch[int](ctx, c, "room/#") { … }
//
// [Get], [Set], [Patch], [Update], [Push], [Delete] and [Touch] read and write keys. [List]
// and [ListLevel] list keys, and [DeletePattern] deletes the keys that match a pattern.
// [Watch] follows the changes of keys, and a [View] is a copy of keys that follows the
// server. [Publish] and [Listen] are for topics. [Client.Will] leaves a write or a message
// that the server makes if the client is gone. All of them are safe for concurrent use.
//
// # Rules
//
// Requests:
//
//   - Every call returns. A request that is not sent waits for a connection until the write
//     timeout (10 s), and then fails with [ErrOffline].
//   - A write that was sent and not answered when the connection was lost fails with
//     [ErrUnknownOutcome]. It is never sent twice. A read is sent again.
//   - A message of a topic is never kept: without a connection, [Publish] fails at once.
//   - The requests of a client take effect in the order in which it sends them.
//
// Connections:
//
//   - After a connection is lost, the client waits for a random time below a ceiling (full
//     jitter). The ceiling doubles from 500 ms to 20 s. Only a connection that lasts for
//     5 s resets it. If the server asks for a wait (Retry-After), the client waits for that
//     time, up to 20 s.
//   - An attempt to connect ends after 10 s.
//   - Every 25 s the client pings the server, also under traffic. If no pong comes within
//     2 s, the client's data is stale; after 8 s the client gives up the connection.
//   - A token travels in the header of the handshake, and a new one over the connection
//     when the server says that the old one expires soon. It is never in a URL.
//   - The client ends for good if it is closed, if a newer client has its name, if the
//     function that gives tokens returns [ErrUnauthorized], if the server has refused the
//     same token 5 times in a row, or if it wants a token and the client has none. During
//     [Dial], it also ends if no later attempt can succeed.
//
// State:
//
//   - Watches and views of the same pattern share one subscription.
//   - A subscription resumes by the epoch and the revision of the last reply or pong, and
//     never by the highest version seen, because an update with a lower version may still
//     have been on its way.
//   - The version of a key never goes back. A server that has lost its latest state, or
//     begins with an empty one (another epoch), is an exception: the state is the server's.
//   - After a reset, the keys that did not come again are reported as deleted. The version
//     of such a delete is the revision of the reply.
//   - A client takes over the changes that it has missed in one step, when all of them have
//     come.
//
// Errors:
//
//   - The error of a loop is its last element. A failure that passes is reported to
//     [OnState] and to the logger.
//   - A refusal by the server is an [Error], and one of the errors of this package for
//     [errors.Is].
//   - A value that is not of the type T is a [ValueError]. It ends a [Watch] or a [Listen]. A
//     view leaves the value out, and has the error in [View.Err].
//
// # Slow consumers
//
// The client reads at the speed of the connection, whatever its consumers do. For each
// subscription it holds the newest value of each key. For a watch up to 256 changes wait;
// then changes of the same key are conflated, as the server does it. For a [Listen] up to
// 1024 messages or 1 MiB wait; further ones are dropped and counted.
//
// # Limits
//
//   - A message of the server has at most 64 MiB, and an answer to a list at most 256 MiB.
//     The server's own limits for values and subscriptions are far lower by default.
//   - A view, and each subscription of a watch, holds the values of all its keys in memory.
//   - [List], [ListLevel] and [DeletePattern] need HTTP beside the WebSocket, with the same
//     URL. All other calls use the WebSocket alone. There is no fallback without WebSockets.
//
// # In other words
//
// A program writes as if the connection never broke. If it does break, the error of a write
// says that the write was not made, or that nobody knows, and the program decides what to
// do. A watch goes on by itself when the connection is back. Until then its data is marked as
// stale, so that the program can tell its user.
package client
