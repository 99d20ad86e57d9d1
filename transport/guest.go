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
	log     zerolog.Logger
	opened  time.Time
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
	log := s.log.With().Str("session", g.id).Str("remote", remote).Str("route", route).Logger()
	g.log = log
	o.OnLag = func(l session.Lag) {
		log.Warn().Int("pending_keys", l.PendingKeys).Int64("pending_bytes", l.PendingBytes).
			Float64("lag_ms", milliseconds(l.Behind)).Msg("session lagging")
	}
	o.OnPanic = func(value any, stack []byte) {
		log.Error().Str("error", fmt.Sprint(value)).Bytes("stack", stack).Msg("actor panicked")
	}
	g.session = session.New(s.keyspace, conn, o)
	return g
}

func (g *guest) of() string { return g.route }

func (g *guest) logOpened() { g.log.Info().Msg("session opened") }

// logClosed writes the last line of a session. err is what went wrong with the
// end.
func (g *guest) logClosed(stats session.Stats, err error, received, bytes uint64) {
	end := endingOf(g.session.Cause())
	g.log.Info().Err(err).
		Str("reason", end.reason).Int("code", int(end.code)).
		Float64("duration_ms", milliseconds(time.Since(g.opened))).
		Uint64("received", received).Uint64("delivered", stats.Delivered).
		Uint64("conflated", stats.Conflated).Uint64("dropped", stats.Dropped).Uint64("bytes", bytes).
		Msg("session closed")
}
