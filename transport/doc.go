// Package transport serves a keyspace over HTTP, WebSocket and server-sent events.
//
// # How it is used
//
// [NewServer] makes a server of a keyspace; [Server.Serve] serves a listener until
// [Server.Shutdown]. The example shows a whole program.
//
// # The way of a request
//
// A set over WebSocket passes each room once:
//
//	websocket.go  reads the message from package socket
//	request.go    parses and checks it (package rawjson reads the JSON)
//	action.go     acts: checks the grants, calls the keyspace
//	keyspace      the key's actor commits the write and delivers the update
//	session       queues the update for each subscriber; encode.go encodes it once
//	websocket.go  hands waiting messages to package socket, which writes them
//
// Over HTTP, routes.go finds the endpoint; endpoint.go admits the request (draining,
// Host, origin, token, rate); rest.go, events.go, websocket.go and operations.go answer
// it. They share a core (core.go). They do not know the [Server], which only puts them
// together.
//
// The packages below this one each know one thing: rawjson JSON text, socket a
// connection, auth tokens and grants, guard which requests come in at all.
//
// # Rules
//
//   - An error becomes a status, a code or a close code in failure.go, and nowhere
//     else. Every error body is JSON.
//   - A request that is not understood is answered. It never closes a WebSocket.
//   - Requests of one WebSocket take effect, and are answered, in the order sent.
//   - A name in a path is decoded once and then taken as it is.
//   - Grants are checked when the names are known. A will is checked again when it
//     fires.
//   - A client that is slow to read slows no other client and no writer.
//
// # Clients
//
// The registry (registry.go) knows the clients that are connected: a webSocket or an
// eventStream, which embed a client (client.go). It limits their number, lists and
// counts them, and drains them.
//
// Sessions of WebSockets share a pool of GOMAXPROCS goroutines ([actor.Pool]), which
// write without blocking, in rounds of Options.FlushInterval. An event stream is a
// session whose Conn writes events (WHATWG HTML, section 9.2). Each event has an id to
// resume from. Before the end of the snapshot that is the id that the client came with:
// a client that is cut off in the middle of a snapshot must ask for it again.
//
// A WebSocket may open without a token. Its client then has 10 s to send one. Until
// then it has the grants of anonymous clients. Credentials end when their token expires.
//
// # Limits
//
// A value may be Options.MaxValueBytes long, as it is kept, and 64 levels deep. A
// message or body may be 1 MiB longer; 32 KiB if the client still has to authenticate.
// A request's header may have 64 KiB and take 5 s; the whole request may take 30 s. If
// memory is short (Options.Crowded), no client is accepted, nothing new is subscribed
// to, no long message is read, and at most 16 KiB of topics' messages wait for a client.
//
// # Shutdown
//
// Shutdown refuses new requests with 503 while the listeners stay open. Each WebSocket
// gets its waiting messages and the close code 1012, between two of its requests, and has a
// second for its own close frame. With more than 100 clients this is spread over the
// time that is left, in random order. Then event streams end, and the listeners close.
//
// # In other words
//
// The transport is the edge. It turns bytes into calls of the keyspace and of sessions,
// and their results into bytes. It keeps no state but the clients that are connected.
package transport
