package transport

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"rtdb/session"
)

// For the fuzz tests.

// ParsedRequest is what request.parse made of a message.
type ParsedRequest struct {
	ID, Value          []byte
	Action, Key, Topic string
	Err                error
}

func ParseRequest(data []byte, maxValueBytes int) ParsedRequest {
	var r request
	err := r.parse(data, maxValueBytes)
	if err == nil {
		err = r.check()
	}
	if err == nil {
		err = r.value.err
	}
	return ParsedRequest{
		ID: r.id.raw, Value: r.value.raw,
		Action: r.action.text, Key: r.key.text, Topic: r.topic.text,
		Err: err,
	}
}

// CheckValue returns the value that text is, as it is kept.
func CheckValue(text []byte, maxBytes int) ([]byte, error) {
	c, err := parseWrite(append(append([]byte(`{"value":`), text...), '}'), maxBytes)
	return c.Value, err
}

// An Item is what parseBatch made of one.
type Item struct {
	Value []byte
	Err   error
}

func ParseBatch(data []byte, maxValueBytes int) (items []Item, err error) {
	parsed, err := parseBatch(data, maxValueBytes)
	for _, x := range parsed {
		items = append(items, Item{x.change.Value, x.err})
	}
	return items, err
}

// Matches tells whether an If-Match of the header holds at a version.
func Matches(header string, version uint64) (bool, error) {
	p, err := parsePrecondition(&http.Request{Header: http.Header{"If-Match": {header}}})
	return err == nil && p.matches(version), err
}

// LoneSurrogate is of a string that is valid JSON.
func LoneSurrogate(raw []byte) bool { return loneSurrogate(raw) }

// MergePatch reads a patch, and returns what applies it. Both texts are valid
// and compact.
func MergePatch(patch []byte) (apply func(target []byte) []byte) {
	return parseMergePatch(patch).apply
}

// Routes are the paths of the server, as the log has them.
func (s *Server) Routes() (routes []string) {
	for _, e := range s.endpoints {
		if e.admin || e.local {
			continue // the operator's are in the README
		}
		routes = append(routes, e.route)
	}
	return routes
}

// Code is the code that a client is told for an error.
func Code(err error) string { return explain(err).code }

const (
	PingInterval = pingInterval
	PongTimeout  = pongTimeout
	StallTimeout = stallTimeout
	CloseTimeout = closeTimeout
)

// For the benchmarks.

// Unmeasure has the metrics count nothing.
func (s *Server) Unmeasure() {
	m := s.metrics
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

// ServeLibrary answers a WebSocket's handshake as /ws does, but leaves all
// that is written, and its buffers, to the library.
func (s *Server) ServeLibrary(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	ws.SetReadLimit(-1)
	c := &client{ws: ws}
	c.open(s, socketRoute, r.RemoteAddr, libraryConn{ws}, session.Options{})
	c.conn.session = c.session
	for err == nil {
		var message io.Reader
		if _, message, err = ws.Reader(context.Background()); err == nil {
			err = c.readOne(message)
			c.session.Uncork() // our own conn is not there to do it
		}
	}
	c.session.Close(err)
	_, _ = c.session.End(s.lifetime)
}

// A libraryConn is a session's way to its client by the library alone.
type libraryConn struct{ ws *websocket.Conn }

func (c libraryConn) Send(messages []session.Message) error {
	for _, m := range messages {
		if err := c.ws.Write(context.Background(), websocket.MessageText, m.Text); err != nil {
			return err
		}
	}
	return nil
}

// TrySend is not called: the session has no pool.
func (c libraryConn) TrySend([]session.Message) (bool, error) { return true, errors.ErrUnsupported }

func (c libraryConn) Close(error) { _ = c.ws.CloseNow() }
