package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
)

// A core has the parts that all endpoints share. Each endpoint (restAPI, eventStreams,
// webSockets, operations) embeds it.
type core struct {
	options  Options // settled
	keyspace *keyspace.Keyspace
	access   access
	clients  *registry
	metrics  *metrics
	backups  backups
	lifetime context.Context // ends when a shutdown cuts off the clients that are left
}

// maxMessage is how long a message or body may be.
func (c *core) maxMessage() int { return c.options.MaxValueBytes + messageOverhead }

// authorize refuses a request that is not granted to its principal.
func (c *core) authorize(w *response, granted bool) error {
	err := c.access.authorize(w.principal, granted)
	if err == errNoToken {
		w.challenge(err)
	}
	return err
}

// open makes the session of a client that has connected. conn writes to the client,
// and is its link.
func (c *core) open(x *client, kind clientKind, remote string, conn interface {
	link
	session.Conn
}, o session.Options) {
	x.link, x.kind, x.id, x.remote, x.opened = conn, kind, clientID(rand.Uint64()), remote, time.Now()
	if o.Encoder == nil {
		o.Encoder = plainEncoder
	}
	o.OnLag = func(l session.Lag) {
		x.event(c.options.Logger.Warn()).Int("pending_keys", l.PendingKeys).Int64("pending_bytes", l.PendingBytes).
			Float64("lag_ms", milliseconds(l.Oldest)).Msg("session lagging")
	}
	o.OnPanic = func(value any, stack []byte) {
		x.event(c.options.Logger.Error()).Str("error", fmt.Sprint(value)).Bytes("stack", stack).Msg("actor panicked")
	}
	o.MaxPendingBytes, o.MaxSubscriptions = c.options.MaxPendingBytes, c.options.MaxSubscriptions
	o.Crowded = c.options.Crowded
	x.session = session.New(c.keyspace, conn, o)
}

// enter registers a client, and then logs that it has connected: an operator who has read
// the line finds the session.
func (c *core) enter(x *client) {
	c.clients.add(x)
	x.event(c.options.Logger.Info()).Msg("session opened")
}

// leave ends a client's session, forgets the client, and logs its counts.
// received counts the messages that the client sent. ended, if it is not nil, is called
// when the session has ended.
func (c *core) leave(x *client, received uint64, ended func()) {
	stats, err := x.session.End(c.lifetime)
	if ended != nil {
		ended()
	}
	end := endingOf(x.session.Cause())
	c.metrics.ends.WithLabelValues(end.reason).Inc()
	c.clients.remove(x, stats)
	x.event(c.options.Logger.Info()).Err(err).
		Str("reason", end.reason).Int("code", int(end.code)).
		Float64("duration_ms", milliseconds(time.Since(x.opened))).
		Uint64("received", received).Uint64("delivered", stats.Delivered).
		Uint64("conflated", stats.Conflated).Uint64("dropped", stats.Dropped).Uint64("bytes", x.link.sent()).
		Msg("session closed")
}
