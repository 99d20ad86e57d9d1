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
	named   func(*zerolog.Event) *zerolog.Event // adds what names the session
	session *session.Session
}

// newGuest opens a session whose way to the client is conn.
func (s *Server) newGuest(route, remote string, conn session.Conn, o session.Options) guest {
	g := guest{
		server: s,
		route:  route,
		id:     fmt.Sprintf("%016x", rand.Uint64()),
		remote: remote,
		opened: time.Now(),
	}
	id := g.id
	// A logger with these fields would be half a kilobyte for each.
	named := func(e *zerolog.Event) *zerolog.Event {
		return e.Str("session", id).Str("remote", remote).Str("route", route)
	}
	g.named = named
	log := &s.log
	o.OnLag = func(l session.Lag) {
		named(log.Warn()).Int("pending_keys", l.PendingKeys).Int64("pending_bytes", l.PendingBytes).
			Float64("lag_ms", milliseconds(l.Behind)).Msg("session lagging")
	}
	o.OnPanic = func(value any, stack []byte) {
		named(log.Error()).Str("error", fmt.Sprint(value)).Bytes("stack", stack).Msg("actor panicked")
	}
	g.session = session.New(s.keyspace, conn, o)
	return g
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
