// Package socket is the connection below a WebSocket: its bytes, frames, deadlines
// and the closing handshake (RFC 6455). It is the connection below an event stream and a
// download, too. It knows nothing of keys, requests and JSON.
//
// # How it is used
//
// The transport serves HTTP on a [Listener], whose connections cost little for a request. It
// adds each connection that it accepts to [Links]. It calls [Conn.Accept] in
// an HTTP handler, [Conn.Start] with the session, and then [Conn.Serve]. Serve reads messages and passes them to a [Handler]. The session's actor
// writes: it takes [Conn.TakeFrames], adds its messages, and calls [Conn.TryWrite] or
// [Conn.Write].
//
// For an event stream the transport calls [Stream.Accept] or, if that does not take the
// connection over, [NewHTTPStream]. Both write in the same way: Begin returns a buffer for
// the next text, and TryWrite, Write or End takes the text.
//
// # Model
//
// Package coder/websocket does the handshake, the parsing of frames, control frames
// and the closing handshake. Text messages are written past it, because a frame of a
// server is not masked: one write(2) can take all frames that wait, of many messages,
// and the payload of an update is the same for all clients. Text messages that have come
// as a whole, behind another one, are read past it, because its locks would take longer
// than the message (more.go). All ways meet in the type wire, which is the library's network
// connection. It has three jobs:
//
//	file      lock                    job
//	read.go   none: one goroutine     reads, in large pieces if much comes (more.go
//	          reads at a time         takes messages out of them), and limits the
//	                                  time of a message
//	write.go  writing; controlMu for  writes frames whole and in order (output.go
//	          waiting control frames  writes their bytes)
//	close.go  closeMu                 writes the close frame last, sets the final read
//	                                  deadline, and decides whether the session or the
//	                                  library closes
//
// Usually one goroutine reads and handles in turn. If handling a message takes more than
// 0.1 s to 0.2 s, a second goroutine takes over the reading: pings, pongs and the close frame
// are read while the first one still waits. Messages that come meanwhile are put into the
// connection's backlog. The first goroutine handles them and ends, and the second goes on
// alone (backlog.go, serve.go).
//
// If nothing comes for 0.1 s to 0.2 s, and after the first message, the goroutine ends: the
// connection is parked until something comes or it is closed. So an idle client costs no goroutine
// and no stack. One goroutine, the leader, waits for all connections that are parked. If a client
// that has sent nothing for 0.1 s sends a few text messages, the leader handles them itself. In all other
// cases, and before a message is handled that may have to wait ([Conn.Detach]), the connection gets a
// goroutine. If the wait is short as a rule ([Conn.Pause]), it gets one only if it takes long. That is on Linux, and not under TLS; elsewhere each connection has a goroutine
// that waits (poller_linux.go, readers.go).
//
// # Rules
//
//   - Frames are written whole and in the order in which they were passed. Nothing
//     follows a close frame.
//   - TryWrite never blocks. Write blocks as long as the client takes a byte now and
//     then. A client that takes none for 10 s ends with [ErrStalled].
//   - A message must be complete Readers.MessageTimeout after its first byte.
//   - A ping is sent every 25 s ([Pinger]). A client that shows no sign of life for 10 s
//     is lost. Pings and pongs go out with the session's next write, or in the middle of
//     the one under way: between two frames, at the latest behind 16 KiB and one frame. The
//     kernel holds 32 KiB that it has not sent, also under TLS.
//   - Messages are handled one at a time and in the order sent.
//   - A backlog has 64 KiB, or one message if that is longer. If it is full nothing is read,
//     pings included: a client that asks for more than it reads must wait.
//   - Before the client's close frame is answered, the requests before it are handled and the
//     session sends its waiting messages, in 4 s at most. A snapshot under way ends instead.
//   - If the connection is lost, the session ends at once. Messages that were read before are
//     still handled.
//   - On Linux, a peer that acknowledges nothing is gone within 30 s (silence.go).
//   - A [Stream] whose client sends more than 64 KiB after its request ends.
//   - A [Download], which is a long HTTP response, may take any time, unless its client takes
//     nothing for 10 s.
//
// # The descriptor
//
// On Linux, TryWrite writes to the file descriptor itself, and Serve reads from it
// (descriptor_linux.go, syscall_linux.go). So does net/http, by way of a requestConn. On other systems, and under TLS, Conn.CanTry
// reports false, and sessions use Write.
//
// The race detector does not see the bytes that a raw system call reads and writes. So under
// -race each call reports them to it (race.go). Unlike [syscall.Write], that does not order
// goroutines, and so hides no race. All tests of package
// transport run like that in CI. The number of the descriptor is guarded by a mutex:
// it is not used after the connection is closed, when it may be another file's.
package socket
