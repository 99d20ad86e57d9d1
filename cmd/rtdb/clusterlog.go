package main

import (
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"rtdb/keyspace/jetstream"
)

// A clusterLog logs the events of a store in NATS. Its methods are called one at a time. An
// event that may come often is logged at most once in 10 s, after some at the beginning.
type clusterLog struct {
	zerolog.Logger
	connects, losses, waiting, denials, gaps, foreigns, behinds sparse
}

// A sparse event is logged only if enough time has passed since its last lines.
type sparse struct {
	limit   *rate.Limiter
	skipped int // events since the last line
}

const sparseInterval = 10 * time.Second

// due reports whether the event is to be logged. skipped is the number of events that were
// not, since the last one that was. burst is how many are logged at once.
func (s *sparse) due(burst int) (skipped int, ok bool) {
	if s.limit == nil {
		s.limit = rate.NewLimiter(rate.Every(sparseInterval), burst)
	}
	if !s.limit.Allow() {
		s.skipped++
		return 0, false
	}
	skipped, s.skipped = s.skipped, 0
	return skipped, true
}

// log logs an event, if it is due. The first lines of a burst have no field skipped.
func (s *sparse) log(e *zerolog.Event, burst int, add func(*zerolog.Event), message string) {
	skipped, ok := s.due(burst)
	if !ok {
		e.Discard()
		return
	}
	add(e)
	if skipped > 0 {
		e.Int("skipped", skipped)
	}
	e.Msg(message)
}

// connectionBurst is the number of lines about connections that are logged at once: the
// servers of a cluster may end one after the other.
const connectionBurst = 20

func (l *clusterLog) connected(server, version string) {
	l.connects.log(l.Info(), connectionBurst, func(e *zerolog.Event) {
		e.Str("server", server).Str("nats_version", version)
	}, "cluster connected")
}

func (l *clusterLog) lost(err error) {
	l.losses.log(l.Warn(), connectionBurst, func(e *zerolog.Event) { e.AnErr("reason", err) }, "cluster lost")
}

func (l *clusterLog) waits(reason error) {
	l.waiting.log(l.Warn(), 1, func(e *zerolog.Event) { e.AnErr("reason", plainStoreError(reason)) }, "waiting for the cluster")
}

func (l *clusterLog) denied(err error) {
	l.denials.log(l.Error(), 1, func(e *zerolog.Event) { e.Err(err) }, "cluster denies a right")
}

// cutOff is not sparse: it comes at most once in 3 s.
func (l *clusterLog) cutOff(reason error, since time.Time) {
	l.Warn().AnErr("reason", plainStoreError(reason)).Float64("duration_ms", milliseconds(time.Since(since))).Msg("cluster behind")
}

func (l *clusterLog) behind(messages uint64) {
	l.behinds.log(l.Warn(), 1, func(e *zerolog.Event) { e.Uint64("messages", messages) }, "cluster behind")
}

func (l *clusterLog) caughtUp(after time.Duration) {
	l.Info().Float64("duration_ms", milliseconds(after)).Msg("cluster caught up")
}

func (l *clusterLog) filled(messages int, took time.Duration) {
	l.gaps.log(l.Info(), 1, func(e *zerolog.Event) {
		e.Int("messages", messages).Float64("duration_ms", milliseconds(took))
	}, "cluster gap filled")
}

func (l *clusterLog) foreign(subject string, sequence uint64) {
	l.foreigns.log(l.Warn(), 1, func(e *zerolog.Event) {
		e.Str("subject", subject).Uint64("sequence", sequence)
	}, "cluster has a foreign message")
}

func (l *clusterLog) disagrees(other string, mine, theirs jetstream.Digest) {
	l.Error().Str("other", other).Interface("state", mine).Interface("other_state", theirs).Msg("cluster disagrees")
}

func (l *clusterLog) agrees() { l.Info().Msg("cluster agrees") }

func (l *clusterLog) declaredDead() { l.Warn().Msg("cluster has given this node up: its sessions end") }

func (l *clusterLog) buried(other string) {
	l.Warn().Str("other", other).Msg("cluster has lost a node")
}
