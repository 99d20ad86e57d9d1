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

const (
	dialTimeout  = 10 * time.Second
	replyTimeout = 10 * time.Second
)

// A link is one connection to the server.
type link struct {
	ws     *websocket.Conn
	meter  *meter
	buffer []byte // the reader's
}

// A dialer opens links.
type dialer struct {
	url      string
	header   http.Header
	released <-chan struct{} // closed when slow clients are to read as fast as they can
}

func newDialer(o Options, released <-chan struct{}) (*dialer, error) {
	u, err := o.target()
	if err != nil {
		return nil, err
	}
	d := &dialer{url: u.String(), header: http.Header{}, released: released}
	if o.Token != "" {
		d.header.Set("Authorization", "Bearer "+o.Token)
	}
	return d, nil
}

// dial opens a link. Each has an HTTP transport of its own, for it must know
// its own TCP connection; and without proxies, for it is the server that is
// measured, not the way to it.
func (d *dialer) dial(ctx context.Context, slow bool) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var m *meter
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var tcp net.Dialer
		if slow {
			tcp.Control = makeSlow
		}
		c, err := tcp.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		m = &meter{Conn: c}
		if slow {
			m.released = d.released
		}
		return m, nil
	}}
	defer transport.CloseIdleConnections()
	ws, answer, err := websocket.Dial(ctx, d.url, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		HTTPHeader:   d.header,
		Subprotocols: []string{"rtdb.v1"},
	})
	if err != nil {
		return nil, dialError(err, answer)
	}
	if ws.Subprotocol() != "rtdb.v1" {
		_ = ws.CloseNow()
		return nil, errors.New("the server does not speak rtdb.v1")
	}
	ws.SetReadLimit(-1)
	return &link{ws: ws, meter: m}, nil
}

// dialError says what the server has against us, if it said so.
func dialError(err error, answer *http.Response) error {
	if answer == nil {
		for next := err; next != nil; next = errors.Unwrap(next) {
			var op *net.OpError
			if errors.As(next, &op) {
				return op
			}
		}
		return err
	}
	var body struct{ Error failure }
	if answer.Body != nil && json.NewDecoder(answer.Body).Decode(&body) == nil && body.Error.Code != "" {
		return fmt.Errorf("the server answered %s: %w", answer.Status, body.Error)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the server answered %s: is it an rtdb, and this the address of its WebSocket?", answer.Status)
	}
	return err
}

// A failure is what an error reply says.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f failure) Error() string {
	return f.Code + ": " + f.Message
}

// A reply is any message that is no update of this run.
type reply struct {
	ID       *uint64         `json:"id"`
	OK       bool            `json:"ok"`
	Action   string          `json:"action"`
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value"`
	Version  uint64          `json:"version"`
	Revision uint64          `json:"revision"`
	Error    *failure        `json:"error"`
}

// read returns the next message. It is good until the next call.
func (l *link) read() ([]byte, error) {
	_, r, err := l.ws.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	message := l.buffer[:0]
	for {
		if len(message) == cap(message) {
			message = slices.Grow(message, 256)
		}
		n, err := r.Read(message[len(message):cap(message)])
		message = message[:len(message)+n]
		l.buffer = message
		switch {
		case err == io.EOF:
			return message, nil
		case err != nil:
			return nil, err
		}
	}
}

func (l *link) write(message []byte) error {
	return l.ws.Write(context.Background(), websocket.MessageText, message)
}

func (l *link) writeJSON(request any) error {
	message, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return l.write(message)
}

// cut ends the link without a word.
func (l *link) cut() {
	_ = l.meter.Conn.Close()
}

// A meter counts the bytes of a TCP connection, and holds a slow client back
// until it is released.
type meter struct {
	net.Conn
	released       <-chan struct{} // nil where the client is not slow
	received, sent atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.released != nil {
		select {
		case <-m.released:
		case <-time.After(slowPause):
			p = p[:min(len(p), slowStep)]
		}
	}
	n, err := m.Conn.Read(p)
	m.received.Add(int64(n))
	return n, err
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.sent.Add(int64(n))
	return n, err
}
