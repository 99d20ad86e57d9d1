package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A serving is a server from its start to its end.
type serving struct {
	log      serverLog
	signals  signals
	server   *transport.Server
	keyspace *keyspace.Keyspace
	store    *store // nil: the state is in memory
	grace    time.Duration
	loaded   func() // called when the state is loaded
	leave    func() // called before the clients are sent away
}

// run serves until a signal ends the server, or a part of it fails. The listeners are
// served while the state is loaded, so that health checks are answered. reload is called
// at each hangup.
func (x *serving) run(admin, listeners []net.Listener, reload func()) error {
	failed := make(chan error, len(admin)+len(listeners))
	loaded := make(chan error, 1)
	var running sync.WaitGroup
	start := func(serve func(net.Listener) error, listeners []net.Listener) {
		for _, l := range listeners {
			running.Go(func() {
				if err := serve(l); err != nil {
					failed <- err
				}
			})
		}
	}
	if x.store == nil {
		loaded <- x.keyspace.Load() // it returns at once
	} else {
		running.Go(func() { loaded <- x.store.load(x.keyspace) })
	}
	start(x.server.ServeAdmin, admin)
	start(x.server.Serve, listeners)

	ended := make(chan struct{})
	defer close(ended)
	// It is not waited for: a file system that hangs must not delay the end.
	go x.signals.reloadAtHangup(x.log.Logger, reload, ended)

	reason, grace, err := x.wait(loaded, failed)
	began := time.Now()
	x.log.Info().Str("reason", reason).Int("sessions", x.server.Sessions()).Msg("server draining")
	x.leave()
	if storeErr := x.drain(grace); storeErr != nil {
		err = storeErr
	}
	running.Wait()
	x.log.Info().Float64("duration_ms", milliseconds(time.Since(began))).Msg("server stopped")
	return err
}

// wait waits for a signal or an error that ends the server, and logs the error. It returns
// the reason, the time that the end may take, and the error of the command.
func (x *serving) wait(loaded, failed <-chan error) (reason string, grace time.Duration, err error) {
	for {
		select {
		case received := <-x.signals.stop:
			x.signals.endAtNext()
			return received.String(), x.grace, nil
		case err := <-failed:
			x.log.Error().Err(err).Msg("server failed")
			return "failed", x.grace, errLogged
		case err := <-x.storeFailed():
			x.store.logFailure(err)
			return "store failed", min(x.grace, failureGrace), errStoreFailed
		case err := <-loaded:
			if err != nil {
				x.store.logLoadFailure(err)
				return "state not loaded", x.grace, errLogged
			}
			x.loaded()
		}
	}
}

// storeFailed returns a channel that gets the error of a store that fails.
func (x *serving) storeFailed() <-chan error {
	if x.store == nil {
		return nil
	}
	return x.store.failed
}

// drain ends the server and then the keyspace, because a request in flight needs the
// keyspace. If the grace is too short, drain cuts connections off and logs it. The last part
// of the grace is reserved for that. drain returns an error if the store has failed.
func (x *serving) drain(grace time.Duration) error {
	deadline := time.Now().Add(grace)
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(-min(grace/5, 500*time.Millisecond)))
	defer cancel()
	err := x.server.Shutdown(ctx)
	if x.store != nil { // writes that were accepted may still have to wait for the disk
		ctx, cancel = context.WithDeadline(context.Background(), deadline.Add(closeGrace))
		defer cancel()
	}
	if x.store != nil && x.store.giveUp != nil && !x.keyspace.Loaded() {
		x.store.giveUp()
	}
	closeErr := x.keyspace.Shutdown(ctx)
	isClosed := closeErr == nil || ctx.Err() == nil
	if !isClosed || x.store == nil {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		x.log.Warn().Err(err).Msg("shutdown grace expired")
	}
	if x.store == nil {
		return nil
	}
	return x.store.logEnd(isClosed, closeErr)
}
