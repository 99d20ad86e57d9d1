// Package transport serves a keyspace over HTTP and WebSocket.
//
// It is the edge: what comes in is parsed, checked and turned into calls of the
// keyspace and of sessions, and what these return into answers. It is the only
// place where an error becomes a status, a code or a close code (failure.go),
// and where JSON is read (scan.go) and replies are written (reply.go).
//
// # HTTP
//
// Paths are matched by net/http's patterns. Every error body is JSON, also
// those of unknown paths, methods and failed handshakes. A name in a path is
// decoded once and then taken as it is: paths are not cleaned.
//
// # WebSocket
//
// coder/websocket does the handshake, the reading, control frames and the
// closing handshake (RFC 6455). A client's messages are read by one goroutine,
// and take effect and are answered in the order in which they came. What is
// sent goes past the library: a server's frame is not masked, so the bytes of
// an update are the same for every subscriber, and one write(2) takes as many
// frames as wait. Both ways meet in conn, which keeps frames whole and lets
// nothing follow a close frame.
//
// A client that takes no byte for 10 s is closed, and so is one that answers no
// ping, one of which is sent every 25 s, and one whose message takes longer
// than 10 s. Pings and pongs go out with the session's next write. A request
// that is not understood is answered, and never closes the connection.
//
// # Server-sent events
//
// A stream is a session whose Conn writes events (WHATWG HTML, section 9.2):
// the same updates, each with an id to resume from. Before the mark that is what
// the client came with, 0 where that is nothing: who is cut off in the middle of
// a snapshot asks for it again. A comment is sent every 15 s.
//
// # Limits
//
// A value is at most Options.MaxValueBytes long as it is kept, and 64 deep; a
// message or body at most 1 MiB longer. A request's header may be 64 KiB and
// take 5 s, the whole request 30 s.
//
// # Ending
//
// Shutdown refuses what is new with 503 while the listeners stay open, lets
// each session send what waits, closes it with 1012 between two of its
// requests, waits a second for the client's close frame, and closes the
// listeners when the last session has gone.
package transport
