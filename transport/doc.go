// Package transport serves a keyspace over HTTP, WebSocket and server-sent events.
//
// # How it is used
//
// [NewServer] makes a server of a keyspace; [Server.Serve] serves a listener until
// [Server.Shutdown]. The example shows a whole program.
//
// # The way of a request
//
// A set over a WebSocket passes these files and packages, each once:
//
//	socket        reads the message and calls webSocket.Handle (websocket.go)
//	request.go    parses and checks it (package rawjson reads the JSON)
//	action.go     acts: checks the grants, calls the keyspace
//	keyspace      the key's actor commits the write and delivers the update
//	session       queues the update for each subscriber; encode.go encodes it once
//	websocket.go  hands waiting messages to package socket, which writes them
//
// Over HTTP, routes.go finds the endpoint; endpoint.go admits the request (Host, origin,
// draining, loading, token, rate); rest.go, events.go, websocket.go and operations.go answer
// it. They share a core (core.go). They do not know the [Server], which only puts them
// together.
//
// The packages below this one each know one thing: rawjson JSON text, socket a
// connection, auth tokens and grants, guard the checks that admit a request, web the files
// for browsers. Package client is the Go client; the server does not use it.
//
// # Rules
//
//   - An error becomes a code, a status or a close code in failure.go. Every error body
//     is JSON.
//   - A text message that is not a valid request gets an error reply, and does not close
//     the WebSocket. A message that is binary, too long or not UTF-8 closes it.
//   - Requests of one WebSocket take effect, and are answered, in the order sent.
//   - A write that was read takes effect, even if its client is gone before the reply.
//     Then the reply is lost.
//   - Pings and close frames are read at any time, whatever the client still has to take.
//     A client that closes in the middle of a snapshot does not get the rest.
//   - A peer that acknowledges nothing is gone within 30 s, whatever is written to it.
//   - A name in a path is decoded once and then taken as it is.
//   - Grants are checked when the names are known. A will is checked again when it
//     fires.
//   - A client that is slow to read slows no other client and no writer.
//
// # Clients
//
// The registry (registry.go) knows the clients that are connected: a webSocket or an
// eventStream, which embed a client (client.go). It limits their number, lists and
// counts them, and drains them. It also knows which WebSocket has which name: a hello
// ends the older session of the same client and the same token subject, and is answered
// when that session has left. A dead link delays the answer by 2 s and a will's time. A
// client for which a newer one waits cannot take a name: two would wait for each other.
//
// Sessions share a pool of GOMAXPROCS goroutines ([actor.Pool]), which write without
// blocking, in rounds of Options.FlushInterval. A session whose connection has no descriptor
// is not in the pool: under TLS, over HTTP/2, and on systems other than Linux.
//
// An event stream is a session whose Conn writes events (WHATWG HTML, section 9.2). Over
// HTTP/1.1 without TLS its connection is taken over from net/http, as a WebSocket's is, and
// ends with the stream (socket.Stream). Otherwise net/http writes the stream, on the
// request's goroutine (socket.HTTPStream). Each event has an id to resume from. Before the
// end of the snapshot that is the id that the client came with: a client that is cut off in
// the middle of a snapshot must ask for it again.
//
// If tokens are needed, a WebSocket may open without one. With anonymous grants its
// client may do what these permit, for any time. Without them it may do nothing, and has
// 10 s to send a token. Credentials end when their token has expired and the leeway has
// passed.
//
// # Pages
//
// The JavaScript client, the console and the folder Options.Public are files. They need no
// token, because they have no data: a page gets data by calls, and each call needs its
// grant. A file of the folder never takes the place of an API's path, not even of one that
// is switched off or is served to the operator elsewhere.
//
// If the server has no keys and listens on a loopback address, pages of loopback origins may
// call it, on any port. The check of the Host header keeps pages of other names out, also if
// these names lead to this machine.
//
// # Limits
//
// A value may be Options.MaxValueBytes long, as it is kept, and 64 levels deep. A
// message or body may be 1 MiB longer. Before its client has authenticated, a message may
// have 32 KiB.
// While a request waits, for the client or the store, up to 64 KiB of further requests are
// read; then the client must wait (package socket, backlog.go). On Linux a
// connection whose peer has vanished ends within 30 s (socket.Links). That holds for each
// connection that [Server.Serve] and [Server.ServeAdmin] accept.
//
// A request's header may have 64 KiB and take 5 s; the whole request may take 30 s. If
// memory is short (Options.Crowded), no client is accepted, nothing new is subscribed
// to, no long message is read, and at most 16 KiB of topics' messages wait for a client.
//
// # The store
//
// A durable store takes seconds to load. The server may serve a keyspace that is not loaded
// yet: health checks and most of the operator's calls are answered, and all other requests
// get 503 and are asked to come back. While the store has no room for values
// (keyspace.ErrInsufficientStorage), writes are refused with advice, and readiness checks
// give the reason. Deletes go on, because they make room.
//
// GET /backup streams the archive that Options.Backup writes (socket.Download). The status
// is sent before the copy is complete. So if the copy fails later, the connection is cut off,
// and the client does not take a part for the whole. Options.Collectors add the metrics of
// the store.
//
// # Shutdown
//
// Shutdown refuses new requests with 503 while the listeners stay open. Each WebSocket
// gets its waiting messages and the close code 1012, between two of its requests, and has a
// second for its own close frame. With more than 100 clients, the server
// closes one every 2 ms, in random order, in at most 60% of the time that is left. Then
// event streams end, the listeners close, and last the operator's listener does. Backups
// are broken off at the beginning, because they may take longer than the grace. The
// program then drains the keys, and closes the store, because a write in flight needs both.
//
// # In other words
//
// The transport is the edge. It turns requests into calls of the keyspace and of
// sessions, and results into responses. It keeps no state but the clients that are connected.
package transport
