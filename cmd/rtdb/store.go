package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport"
)

const (
	// failureGrace is the longest time that the server takes to end after its store has
	// failed. It is short, because the server meanwhile answers reads with values that may
	// not be on the disk.
	failureGrace = 2 * time.Second

	// closeGrace is the time that a shutdown leaves to the store after the grace, to make
	// the last writes durable.
	closeGrace = 2 * time.Second

	// A progress line is shown if loading takes longer than progressAfter, and is renewed
	// after progressEach.
	progressAfter = 300 * time.Millisecond
	progressEach  = 100 * time.Millisecond
)

// A store keeps the state of a server. It logs its beginning and its end.
type store struct {
	keyspace.Store
	storeEvents
	log    serverLog
	failed chan error // gets one error if nothing is committed any more

	collector prometheus.Collector                   // of its metrics
	refuse    func() error                           // the reason if values are refused; nil: they never are
	backup    func(context.Context, io.Writer) error // nil: it makes no backups
	ready     func() error                           // why the node is not ready; nil: it is once it has loaded the state
	giveUp    func()                                 // ends a load that waits; nil: no load does
	attach    func(*transport.Server)                // gets the server before load; nil: it is not needed
	loaded    func()                                 // called when the state is loaded; nil: there is nothing to do

	// takeOver is that of [transport.Options]. nil: there are no other nodes.
	takeOver func(ctx context.Context, client, subject string, since time.Time) error

	hasFailed bool // the failure was logged

	// The progress of load:
	keys    func() int
	began   time.Time
	shownAt time.Time // of the progress line
}

// storeEvents complete the events of the log that all stores have.
type storeEvents interface {
	addLoaded(e *zerolog.Event)           // of a state that was loaded
	addClosed(e *zerolog.Event)           // of a store that was closed
	addError(e *zerolog.Event, err error) // with advice
}

func newStore(log serverLog, events storeEvents) *store {
	return &store{log: log, storeEvents: events, failed: make(chan error, 1)}
}

// load loads the state into ks, whose store is s.
func (s *store) load(ks *keyspace.Keyspace) error {
	s.keys, s.began = ks.Keys, time.Now()
	err := ks.Load()
	if s.log.progress != nil {
		s.log.progress.show("")
	}
	if err != nil {
		return err
	}
	if s.loaded != nil {
		s.loaded()
	}
	e := s.log.Info().Int("keys", ks.Keys())
	s.addLoaded(e)
	e.Float64("duration_ms", milliseconds(time.Since(s.began))).
		Str("epoch", ks.Epoch()).Uint64("revision", ks.Revision()).Msg("state loaded")
	return nil
}

// showProgress shows the number of items that were read, if a person sees the log.
func (s *store) showProgress(n int64, items string) {
	now := time.Now()
	if s.log.progress == nil || now.Sub(s.began) < progressAfter || now.Sub(s.shownAt) < progressEach {
		return
	}
	s.shownAt = now
	s.log.progress.show(fmt.Sprintf("loading the state: %d %s read, %d keys, %.1f s", n, items, s.keys(), now.Sub(s.began).Seconds()))
}

// logLoadFailure logs the reason why the state was not loaded.
func (s *store) logLoadFailure(err error) {
	e := s.log.Error()
	s.addError(e, err)
	e.Msg("state not loaded")
}

// logFailure logs that the store failed, once.
func (s *store) logFailure(err error) {
	if s.hasFailed {
		return
	}
	s.hasFailed = true
	e := s.log.Error()
	s.addError(e, err)
	e.Msg("store failed")
}

// logEnd logs the end of the store: that it failed, or that it was closed. It logs neither if
// the time was too short to close it. err is the error of closing it. logEnd returns
// errStoreFailed if the store has failed.
func (s *store) logEnd(isClosed bool, err error) error {
	select {
	case failure := <-s.failed:
		s.logFailure(failure)
	default:
		if isClosed && err != nil {
			s.logFailure(err)
		}
	}
	if isClosed && !s.hasFailed {
		e := s.log.Info()
		s.addClosed(e)
		e.Msg("store closed")
	}
	if s.hasFailed {
		return errStoreFailed
	}
	return nil
}

// plainStoreError returns err without the names of packages.
func plainStoreError(err error) error {
	return plainError{err, strings.NewReplacer("keyspace: load: ", "", "journal: ", "", "jetstream: ", "", "keyspace: ", "").Replace(err.Error())}
}
