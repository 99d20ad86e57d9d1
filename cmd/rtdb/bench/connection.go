package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// A connection is one WebSocket to the server. One goroutine may read while another
// one writes.
type connection struct {
	ws     *websocket.Conn
	tcp    *tcpConn
	buffer []byte // of read
}

const (
	subprotocol = "rtdb.v1"
	dialTimeout = 10 * time.Second
)

// A dialer opens connections. Any number of goroutines may use it.
type dialer struct {
	url         string
	socket      string // Options.Socket
	header      http.Header
	unthrottled <-chan struct{} // closed when slow clients may read at full speed
}

func newDialer(o Options, unthrottled <-chan struct{}) (*dialer, error) {
	u, err := o.webSocketURL()
	if err != nil {
		return nil, err
	}
	d := &dialer{url: u.String(), socket: o.Socket, header: http.Header{}, unthrottled: unthrottled}
	if o.Token != "" {
		d.header.Set("Authorization", "Bearer "+o.Token)
	}
	return d, nil
}

// dial opens a connection within dialTimeout. It uses no proxy, because bench
// measures the server and not the way to it. Each connection has its own
// http.Transport, because it must know its own TCP connection.
func (d *dialer) dial(ctx context.Context, slow bool) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var tcp *tcpConn
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var dialer net.Dialer
		switch {
		case d.socket != "":
			network, addr = "unix", d.socket
		case slow:
			dialer.Control = limitSocketBuffers
		}
		c, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		tcp = &tcpConn{Conn: c}
		if slow {
			tcp.unthrottled = d.unthrottled
		}
		return tcp, nil
	}}
	defer transport.CloseIdleConnections()
	ws, response, err := websocket.Dial(ctx, d.url, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		HTTPHeader:   d.header,
		Subprotocols: []string{subprotocol},
	})
	if err != nil {
		return nil, dialError(err, response)
	}
	if ws.Subprotocol() != subprotocol {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the server did not accept the subprotocol %s: check that the URL is that of an rtdb server", subprotocol)
	}
	ws.SetReadLimit(-1)
	return &connection{ws: ws, tcp: tcp}, nil
}

// dialError returns the most helpful error for a failed dial: the server's own error
// reply, else its HTTP status, else the network error.
func dialError(err error, response *http.Response) error {
	if response == nil {
		for next := err; next != nil; next = errors.Unwrap(next) {
			var op *net.OpError
			if errors.As(next, &op) {
				return op
			}
		}
		return err
	}
	var body struct{ Error replyError }
	if response.Body != nil && json.NewDecoder(response.Body).Decode(&body) == nil && body.Error.Code != "" {
		return fmt.Errorf("the server answered %s: %w", response.Status, body.Error)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the server answered %s: check that the URL is that of an rtdb server's WebSocket", response.Status)
	}
	return err
}

// read returns the next message. The bytes are valid until the next call.
func (c *connection) read() ([]byte, error) {
	_, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	message := c.buffer[:0]
	for {
		if len(message) == cap(message) {
			message = slices.Grow(message, 256)
		}
		n, err := r.Read(message[len(message):cap(message)])
		message = message[:len(message)+n]
		c.buffer = message
		switch {
		case err == io.EOF:
			return message, nil
		case err != nil:
			return nil, err
		}
	}
}

// write sends a text message. It blocks while the server does not read; cut ends it.
func (c *connection) write(message []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageText, message)
}

func (c *connection) writeJSON(request any) error {
	message, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return c.write(message)
}

// cut closes the TCP connection without a close handshake. Reads and writes that are
// in progress fail. Any goroutine may call it.
func (c *connection) cut() {
	_ = c.tcp.Conn.Close()
}

// A slow client reads 32 KiB a second, in small steps and through small buffers. An
// even slower client would answer a ping too late: the server closes a connection if
// the answer takes more than ten seconds.
const (
	slowStep   = 4 << 10 // bytes for one read
	slowPause  = 125 * time.Millisecond
	slowBuffer = 4 << 10 // bytes that the kernel may hold for the client

	// slowSegment is the TCP segment size that most paths through the Internet
	// carry. On the loopback interface a segment is 64 KiB, and the kernel would
	// buffer megabytes of them for the client. No real slow client has such a buffer.
	slowSegment = 1400
)

// A tcpConn counts the bytes of a TCP connection. If the client is slow, it also
// limits the rate of reading until unthrottled is closed.
type tcpConn struct {
	net.Conn
	unthrottled    <-chan struct{} // nil if the client is not slow
	received, sent atomic.Int64    // bytes
}

func (c *tcpConn) Read(p []byte) (int, error) {
	if c.unthrottled != nil {
		select {
		case <-c.unthrottled:
		case <-time.After(slowPause):
			p = p[:min(len(p), slowStep)]
		}
	}
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

func (c *tcpConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}
