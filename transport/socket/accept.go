package socket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

const (
	// readBuffer is the size of the library's reader. What is longer is read
	// ahead, in larger pieces (wire.fillAhead). net/http's buffers have 4 KB each, so
	// small ones save half the memory of an idle client.
	readBuffer = 256

	// maxControlFrame is the length of the longest frame that the library
	// writes: a header of 2 bytes and a payload of 125 (RFC 6455, section 5.5).
	maxControlFrame = 2 + maxControlPayload
)

// Options are the settings of a connection.
type Options struct {
	Subprotocols []string // that the server speaks, the preferred one first
	Readers      *Readers // shared by the connections of a server
}

// A HandshakeError reports a request that is not a WebSocket handshake.
type HandshakeError struct {
	Status int // the HTTP status that the library would have answered
}

func (e *HandshakeError) Error() string {
	return "socket: not a WebSocket handshake: status " + strconv.Itoa(e.Status)
}

// Accept answers a WebSocket handshake (RFC 6455, section 4.2) and takes the
// connection over from net/http. It returns a *HandshakeError if the request is not
// a handshake; then nothing was answered. After another error the connection is
// gone. Accept does not check the origin. It writes the response, with the headers of w, to
// the connection itself, so w does not get the status: net/http would take 3% of the CPU of
// connecting for that, and a copy of the headers (BenchmarkConnect).
func (c *Conn) Accept(w http.ResponseWriter, r *http.Request, o Options) error {
	c.wire.readers = o.Readers
	u := &upgrader{ResponseWriter: w, wire: &c.wire}
	ws, err := websocket.Accept(u, r, &websocket.AcceptOptions{
		Subprotocols:       o.Subprotocols,
		InsecureSkipVerify: true, // of the origin
		OnPingReceived:     func(context.Context, []byte) bool { c.wire.endControl(); return true },
		OnPongReceived:     func(context.Context, []byte) { c.wire.ponged.Store(true); c.wire.endControl() },
	})
	switch {
	case err != nil && u.status != 0:
		return &HandshakeError{Status: u.status}
	case err != nil:
		return err
	}
	ws.SetReadLimit(-1) // the reader of a message limits it, and can say so
	// The library has put a reader in between that is of no use any more.
	c.wire.reader.Reset(&c.wire)
	c.ws = ws
	if NetConn(r) == nil { // the server is not the transport's, which watches all its connections
		o.Readers.links.Add(c.wire.Conn)
	}
	return nil
}

// An upgrader is the ResponseWriter on which the library accepts a WebSocket. It
// gives the library a wire in place of the network connection, and keeps the
// library's own error pages from the client.
type upgrader struct {
	http.ResponseWriter
	wire   *wire // set up by Hijack
	status int   // of the library's refusal
}

// WriteHeader notes a refusal. Hijack, which comes next, writes the response to a handshake.
func (u *upgrader) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		u.status = status
	}
}

func (u *upgrader) Write(p []byte) (int, error) { return len(p), nil }

// Hijack takes the connection over from net/http. The library resets the reader
// that it gets to the connection, so bytes that net/http has read already must
// come through wire.Read. The buffers are small because a client has them as long
// as it is connected.
//
// It writes the response when the connection has been taken over.
func (u *upgrader) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	conn = takenOver(conn)
	u.wire.Conn = conn
	_, u.wire.secure = conn.(*tls.Conn)
	u.wire.fd.open(conn)
	if n := buffers.Reader.Buffered(); n > 0 {
		early, err := buffers.Reader.Peek(n)
		if err != nil {
			return nil, nil, err
		}
		u.wire.ahead = append(u.wire.ahead, early...)
	}
	if err := u.respond(); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	u.wire.reader = bufio.NewReaderSize(u.wire, readBuffer)
	return u.wire, bufio.NewReadWriter(u.wire.reader, bufio.NewWriterSize(u.wire, maxControlFrame)), nil
}

// respond writes the response to the handshake. The kernel's buffer takes it, unless the
// client has not read the responses to earlier requests.
func (u *upgrader) respond() error {
	text := bytes.NewBuffer(make([]byte, 0, 256))
	text.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = u.Header().Write(text) // a buffer takes everything
	text.WriteString("\r\n")
	p := text.Bytes()
	if u.wire.fd.usable() {
		n, err := u.wire.fd.tryWrite(p)
		if p = p[n:]; err != nil || len(p) == 0 {
			return err
		}
	}
	if err := u.wire.SetWriteDeadline(time.Now().Add(StallTimeout)); err != nil { // each later write sets its own
		return err
	}
	_, err := u.wire.Conn.Write(p)
	return err
}
