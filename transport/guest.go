package transport

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"rtdb/session"
)

// A guest is what a WebSocket and a stream of events have in common: a session,
// and what the log says of it.
type guest struct {
	server  *Server
	route   string
	id      string
	remote  string
	opened  time.Time
	session *session.Session
}

// open opens the session, whose way to the client is conn.
func (g *guest) open(s *Server, route, remote string, conn session.Conn, o session.Options) {
	*g = guest{
		server: s,
		route:  route,
		id:     fmt.Sprintf("%016x", rand.Uint64()),
		remote: remote,
		opened: time.Now(),
	}
	o.OnLag, o.OnPanic = g.logLag, g.logPanic
	o.MaxPendingBytes, o.MaxSubscriptions = s.options.MaxPendingBytes, s.options.MaxSubscriptions
	o.Crowded = s.options.Crowded
	g.session = session.New(s.keyspace, conn, o)
}

// named adds what names the session. A logger with these fields would be half a
// kilobyte for each.
func (g *guest) named(e *zerolog.Event) *zerolog.Event {
	return e.Str("session", g.id).Str("remote", g.remote).Str("route", g.route)
}

func (g *guest) logLag(l session.Lag) {
	g.named(g.server.log.Warn()).Int("pending_keys", l.PendingKeys).Int64("pending_bytes", l.PendingBytes).
		Float64("lag_ms", milliseconds(l.Behind)).Msg("session lagging")
}

func (g *guest) logPanic(value any, stack []byte) {
	g.named(g.server.log.Error()).Str("error", fmt.Sprint(value)).Bytes("stack", stack).Msg("actor panicked")
}

func (g *guest) of() string { return g.route }

func (g *guest) logOpened() { g.named(g.server.log.Info()).Msg("session opened") }

// logClosed writes the last line of a session. err is what went wrong with the
// end.
func (g *guest) logClosed(stats session.Stats, err error, received, bytes uint64) {
	end := endingOf(g.session.Cause())
	g.named(g.server.log.Info()).Err(err).
		Str("reason", end.reason).Int("code", int(end.code)).
		Float64("duration_ms", milliseconds(time.Since(g.opened))).
		Uint64("received", received).Uint64("delivered", stats.Delivered).
		Uint64("conflated", stats.Conflated).Uint64("dropped", stats.Dropped).Uint64("bytes", bytes).
		Msg("session closed")
}
