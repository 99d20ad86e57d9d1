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
// # The last metre
//
// What a delivery costs is one write(2), shared by as many updates as are there.
// What makes it so, and what each part gives (BenchmarkFanout, x-redis and
// x-bare; two cores of an AMD EPYC; the figures of now are in the README):
//
//   - Sessions share a pool of GOMAXPROCS goroutines ([actor.Pool]), each of
//     which writes without waiting. What the system does not take at once goes
//     to a goroutine of the session's own.
//     In rounds of 2 ms at least: 1000 keys to 50 sockets go from 2.0 to 0.28 µs
//     a delivery, 7 to 1.2 times Redis, with the outbox that hands over what waits
//     without copying it.
//   - Between turns of eight sessions the pool's goroutines let others run: they
//     make what the next turns write. 1 key to 1000 sockets, one write in
//     flight: 1.35 to 1.23 times a bare loop; eight: 0.31 to 0.26.
//   - Each write is to the descriptor itself, under a lock of conn's, and not by
//     a RawConn, which has three more structs to load, each with a lock: 1.42 to
//     1.27 times the bare loop. It is a system call that the scheduler is not
//     told of, for it watches those, and a session is little to load: 1.32 to
//     1.22.
//   - A client that fills the reader's buffer is read 16 KiB at a time: 0.28
//     to 0.21 µs with 4 such publishers and 50 subscribers.
//   - Answers do not wait for a round: the reader writes them when it has no more
//     requests in hand ([session.Session.Uncork]). 50 clients that wait for each
//     answer get 0.94 times what a mutex and a map would give them.
//   - The kernel holds back at most 32 KiB that it has not sent
//     (TCP_NOTSENT_LOWAT). What a client that takes 85 KB/s got while 3 MB/s were
//     written was 1.6 s old at most; 2.6 s with 128 KiB; without it 45 s, and its
//     pong came too late.
//   - 256 bytes to read and 127 to write, not net/http's 4 KB each, no second
//     goroutine, and a reader's stack of 4 KB: requests are pooled, and what a
//     subscribe calls runs on a goroutine that goes away. 10,000 idle clients:
//     19.9 to 13.4 KB each, 15.7 to 10.3 KB once the garbage of their handshakes
//     has been collected. Of that the stack is 4 KB, what the library and net
//     keep some 2.5 KB; of the garbage 8 KB are net/http's buffers.
//
// Left out: frames that are encoded once, header and all. The header of a
// frame is 2 to 10 bytes that come from the length alone, and the payload,
// which is encoded once, is copied in any case into what one write takes.
// Nothing came of one goroutine for the pool in place of one for each processor
// (1.43 to 1.53 times the bare loop), of turns of two or four sessions, or of a
// pool that waits while a key tells its subscribers (window 8: 1.53 to 1.38
// times Redis, but 1.18 to 1.28 where one write is in flight).
//
// The rest of a lone delivery is the kernel's: 88% of the CPU of 1 key to 1000
// sockets (perf). With eight writes in flight Redis, which reads all eight
// before it writes, needs one system call for a subscriber where we need some
// 1.5: the first in a round have their update before the others are read.
//
// # Server-sent events
//
// A stream is a session whose Conn writes events (WHATWG HTML, section 9.2):
// the same updates, each with an id to resume from. Before the mark that is what
// the client came with, 0 where that is nothing: who is cut off in the middle of
// a snapshot asks for it again. A comment is sent every 15 s.
//
// # Access
//
// Each request is admitted before its endpoint sees it (admission.go): the host that
// it names, the page that it comes from, who it is from, and that it is not one too
// many. What is granted is asked where a name is known; package auth says what a
// grant covers. A WebSocket may open without a token and has 10 s to send one; until
// then it may do what is granted to all, if anything. Credentials end with their
// token, to the clock's time, and wills ask again when they fire.
//
// The operator's calls (admin.go) need a token that grants admin, or are answered on
// a listener of their own, without one. What sessions count is added up when
// Prometheus asks (metrics.go), so that a delivery pays for nothing but a look at the
// clock in one of eight: BenchmarkMetrics, 0.96 to 1.01 times a server that counts
// nothing.
//
// # Limits
//
// Sessions, subscriptions and the rate of requests have limits of their own; where
// memory is short (Options.Crowded) no session opens, nothing new is subscribed to,
// no long message is read, and little of topics waits.
//
// A value is at most Options.MaxValueBytes long as it is kept, and 64 deep; a
// message or body at most 1 MiB longer, 32 KiB of a client that has yet to say who it
// is. A request's header may be 64 KiB and take 5 s, the whole request 30 s.
//
// # Ending
//
// Shutdown refuses what is new with 503 while the listeners stay open, lets
// each session send what waits, closes it with 1012 between two of its
// requests, in no order and where there are many spread over the time there is, waits a second for the client's close frame, and closes the
// listeners when the last session has gone.
package transport
