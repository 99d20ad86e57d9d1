package socket

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"

	"github.com/coder/websocket"
)

const (
	// readBuffer is the size of the library's reader. What is longer is read
	// ahead, in larger pieces (wire.fillAhead). net/http's buffers have 4 KB each, so
	// small ones save half the memory of an idle client.
	readBuffer = 256

	// maxControlFrame is the length of the longest frame that the library
	// writes: a header of 2 bytes and a payload of 125 (RFC 6455, section 5.5).
	maxControlFrame = 2 + 125
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
// gone. Accept does not check the origin.
func (c *Conn) Accept(w http.ResponseWriter, r *http.Request, o Options) error {
	c.wire.readers = o.Readers
	u := &upgrader{ResponseWriter: w, wire: &c.wire}
	ws, err := websocket.Accept(u, r, &websocket.AcceptOptions{
		Subprotocols:       o.Subprotocols,
		InsecureSkipVerify: true, // of the origin
		OnPingReceived:     func(context.Context, []byte) bool { c.wire.endControl(); return true },
		OnPongReceived:     func(context.Context, []byte) { c.wire.endControl() },
	})
	switch {
	case err != nil && u.status != 0:
		return &HandshakeError{Status: u.status}
	case err != nil:
		return err
	}
	ws.SetReadLimit(-1) // the reader of a message limits it, and can say so
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

func (u *upgrader) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		u.ResponseWriter.WriteHeader(status)
		return
	}
	u.status = status
}

func (u *upgrader) Write(p []byte) (int, error) { return len(p), nil }

// Hijack takes the connection over from net/http. The library resets the reader
// that it gets to the connection, so bytes that net/http has read already must
// come through wire.Read. The buffers are small because a client has them as long
// as it is connected.
func (u *upgrader) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
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
	u.wire.reader = bufio.NewReaderSize(u.wire, readBuffer)
	return u.wire, bufio.NewReadWriter(u.wire.reader, bufio.NewWriterSize(u.wire, maxControlFrame)), nil
}
