package transport

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/socket"
)

// This part is for the fuzz tests.

// A ParsedRequest is a message that was parsed, or the error.
type ParsedRequest struct {
	ID, Value          []byte
	Action, Key, Topic string
	Err                error
}

// ParseRequest parses a message. It does not check the members that its action needs.
func ParseRequest(data []byte, maxValueBytes int) ParsedRequest {
	var r request
	err := r.parseMessage(data, maxValueBytes)
	if err == nil {
		err = r.value.err
	}
	return ParsedRequest{
		ID: r.id.value, Value: r.value.value,
		Action: r.action.value, Key: r.key.value, Topic: r.topic.value,
		Err: err,
	}
}

// CheckValue returns a value in the form in which it is kept.
func CheckValue(text []byte, maxBytes int) ([]byte, error) {
	c, err := parseWrite(append(append([]byte(`{"value":`), text...), '}'), 0, maxBytes)
	return c.Value, err
}

// An Item is an item of a batch that was parsed, or the error.
type Item struct {
	Value []byte
	Err   error
}

// ParseBatch parses the body of a batch.
func ParseBatch(data []byte, maxValueBytes int) (items []Item, err error) {
	parsed, err := parseBatch(data, maxValueBytes)
	for _, x := range parsed {
		items = append(items, Item{x.change.Value, x.err})
	}
	return items, err
}

// Matches reports whether the header If-Match holds at a version.
func Matches(header string, version uint64) (bool, error) {
	p, err := parsePrecondition(&http.Request{Header: http.Header{"If-Match": {header}}})
	return err == nil && p.matches(version), err
}

// Routes returns the server's routes, except for the operator's.
func (s *Server) Routes() (routes []string) {
	for _, e := range s.routes.endpoints {
		if e.audience == forAdmins || e.audience == forOperator {
			continue // cmd/rtdb/README.md describes them
		}
		routes = append(routes, e.route)
	}
	return routes
}

// Code returns the code that a client gets for an error.
func Code(err error) string { return explain(err).code }

const (
	PingInterval = socket.PingInterval
	PongTimeout  = socket.PongTimeout
	StallTimeout = socket.StallTimeout
	CloseTimeout = socket.CloseTimeout
)

// This part is for the benchmarks.

// Unmeasure makes the metrics count nothing.
func (s *Server) Unmeasure() {
	m := s.core.metrics
	for code := range m.writes {
		m.writes[code] = noCounter{}
	}
	m.received = noCounter{}
	m.commit.Histogram, m.socket.Histogram = noHistogram{}, noHistogram{}
}

type noCounter struct{ prometheus.Counter }

func (noCounter) Inc() {}

type noHistogram struct{ prometheus.Histogram }

func (noHistogram) Observe(float64) {}

// ServeLibrary serves a WebSocket as /ws does, but writes everything with the library and
// its buffers.
func (s *Server) ServeLibrary(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	ws.SetReadLimit(-1)
	c := &webSocket{core: s.core}
	s.core.open(&c.client, webSocketClient, r.RemoteAddr, libraryConn{c, ws}, session.Options{})
	for err == nil {
		var message io.Reader
		if _, message, err = ws.Reader(context.Background()); err == nil {
			buffer := socket.TakeBuffer()
			if err = buffer.ReadAll(message, c.MaxMessage(), nil); err == nil {
				err = c.Handle(buffer.Bytes)
			}
			buffer.Free()
			c.session.Uncork() // there is no socket.Conn that calls it
		}
	}
	c.session.Close(err)
	_, _ = c.session.End(s.core.lifetime)
}

// A libraryConn writes to a client with the library alone.
type libraryConn struct {
	*webSocket
	ws *websocket.Conn
}

func (c libraryConn) Send(messages []session.Message) error {
	for _, m := range messages {
		if err := c.ws.Write(context.Background(), websocket.MessageText, m.Text()); err != nil {
			return err
		}
	}
	return nil
}

// TrySend is not called, because the session has no pool.
func (c libraryConn) TrySend([]session.Message) (bool, error) { return true, errors.ErrUnsupported }

func (c libraryConn) Close(error) { _ = c.ws.CloseNow() }

// EncodeUpdate returns the text of an update for plain clients, and for those that speak
// rtdb.v1.
func EncodeUpdate(u *keyspace.Update) (plain, versioned []byte) {
	return u.Encoded(plainEncoder.Form, plainEncoder.Update), u.Encoded(versionedEncoder.Form, versionedEncoder.Update)
}

// TakeoverTimeout is how long a hello waits for the other nodes.
const TakeoverTimeout = takeoverTimeout
