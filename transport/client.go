package transport

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"rtdb/session"
)

// A clientKind is the way in which a client is connected.
type clientKind uint8

const (
	webSocketClient clientKind = iota
	eventClient
	clientKinds // their number
)

// route returns the path of the kind's endpoint, as the log names it.
func (k clientKind) route() string {
	if k == eventClient {
		return eventsRoute
	}
	return socketRoute
}

// A link is the connection of a client, as the registry uses it.
type link interface {
	hangUp(cause error) // ends the session when what waits was sent; may wait for a request
	abort(cause error)  // cuts the connection; does not block
	sent() uint64       // bytes
}

// A client is what a WebSocket and an event stream have in common: a session, and
// what the registry and the log know of it.
type client struct {
	core    *core
	link    link
	session *session.Session
	id      clientID
	opened  time.Time
	remote  string
	kind    clientKind
}

// open makes the client's session. conn writes to the client; it is the client's
// link, too.
func (c *client) open(k *core, kind clientKind, remote string, conn interface {
	link
	session.Conn
}, o session.Options) {
	*c = client{core: k, link: conn, kind: kind, id: clientID(rand.Uint64()), remote: remote, opened: time.Now()}
	if o.Encoder == nil {
		o.Encoder = plainEncoder
	}
	o.OnLag, o.OnPanic = c.logLag, c.logPanic
	o.MaxPendingBytes, o.MaxSubscriptions = k.options.MaxPendingBytes, k.options.MaxSubscriptions
	o.Crowded = k.options.Crowded
	c.session = session.New(k.keyspace, conn, o)
}

// enter registers the client, and logs that it has connected.
func (c *client) enter() {
	c.event(c.core.options.Logger.Info()).Msg("session opened")
	c.core.clients.add(c)
}

// leave ends the session, forgets the client, and logs what it has done. received
// is the number of messages that it sent. before, if it is not nil, is called when
// the session has ended.
func (c *client) leave(received uint64, before func()) {
	stats, err := c.session.End(c.core.lifetime)
	if before != nil {
		before()
	}
	end := endingOf(c.session.Cause())
	c.core.metrics.ends.WithLabelValues(end.reason).Inc()
	c.core.clients.remove(c, stats)
	c.event(c.core.options.Logger.Info()).Err(err).
		Str("reason", end.reason).Int("code", int(end.code)).
		Float64("duration_ms", milliseconds(time.Since(c.opened))).
		Uint64("received", received).Uint64("delivered", stats.Delivered).
		Uint64("conflated", stats.Conflated).Uint64("dropped", stats.Dropped).Uint64("bytes", c.link.sent()).
		Msg("session closed")
}

// event adds the fields that name the client. A logger with these fields would take
// half a kilobyte for each client.
func (c *client) event(e *zerolog.Event) *zerolog.Event {
	if e == nil {
		return nil
	}
	return e.Stringer("session", c.id).Str("remote", c.remote).Str("route", c.kind.route())
}

func (c *client) logLag(l session.Lag) {
	c.event(c.core.options.Logger.Warn()).Int("pending_keys", l.PendingKeys).Int64("pending_bytes", l.PendingBytes).
		Float64("lag_ms", milliseconds(l.Behind)).Msg("session lagging")
}

func (c *client) logPanic(value any, stack []byte) {
	c.event(c.core.options.Logger.Error()).Str("error", fmt.Sprint(value)).Bytes("stack", stack).Msg("actor panicked")
}

// milliseconds returns a duration in milliseconds, with three decimal places.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
