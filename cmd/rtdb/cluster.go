package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"rtdb/keyspace/jetstream"
	"rtdb/transport"
)

// A clusterStore keeps the state in a stream of NATS that several nodes share. It logs the
// events of the stream, and tells the node's clients when their state is stale.
type clusterStore struct {
	*jetstream.Store
	log      clusterLog
	stream   string
	messages int64 // that were loaded

	server *transport.Server // set before the state is loaded
	ending sync.WaitGroup    // sessions that are being ended
}

// open opens the store in the stream of the flags. No value is longer than maxValueBytes.
func (f *clusterFlags) open(log serverLog, maxValueBytes int) (*store, error) {
	c := &clusterStore{log: clusterLog{Logger: log.Logger}, stream: f.NATSStream}
	s := newStore(log, c)
	o := f.options()
	o.Observer, o.MaxValueBytes = c.observer(s), maxValueBytes
	var err error
	if c.Store, err = jetstream.Open(o); err != nil {
		return nil, fmt.Errorf("--nats-url ($NATS_URL): %w", plainStoreError(err))
	}
	s.Store, s.ready, s.giveUp, s.takeOver = c, c.readiness, c.GiveUp, c.takeOver
	s.attach, s.loaded = func(server *transport.Server) { c.server = server }, c.answerTakeovers
	s.collector = &clusterMetrics{status: c.Status, node: f.Node, stream: f.NATSStream}
	return s, nil
}

// readiness returns why the node is not ready, in the words of an operator.
func (c *clusterStore) readiness() error {
	if err := c.Ready(); err != nil {
		return plainStoreError(err)
	}
	return nil
}

// takeOver ends the sessions of a client on the other nodes, as [transport.Options] asks.
func (c *clusterStore) takeOver(ctx context.Context, client, subject string, since time.Time) error {
	err := c.TakeOver(ctx, client, subject, since)
	if errors.Is(err, jetstream.ErrNewerSession) {
		return fmt.Errorf("%w: %w", transport.ErrNewerSession, err)
	}
	return err
}

// answerTakeovers makes the server end its sessions of clients that come to other nodes.
func (c *clusterStore) answerTakeovers() {
	c.AnswerTakeovers(c.server.EndClient)
}

// observer returns the functions that tell the clients about the store's events, and log
// them.
func (c *clusterStore) observer(s *store) jetstream.Observer {
	log := &c.log
	return jetstream.Observer{
		Connected:    log.connected,
		Disconnected: log.lost,
		Waits:        log.waits,
		Loaded: func(messages int64) {
			c.messages = messages
			s.showProgress(messages, "messages")
		},
		CutOff: func(reason error, since time.Time) {
			c.server.Stale(since)
			log.cutOff(reason, since)
		},
		CaughtUp: func(after time.Duration) {
			c.server.Fresh()
			log.caughtUp(after)
		},
		Denied:       log.denied,
		Behind:       log.behind,
		Filled:       log.filled,
		Disagrees:    log.disagrees,
		Agrees:       log.agrees,
		Foreign:      log.foreign,
		DeclaredDead: c.endSessions,
		Buried:       log.buried,
		Failed:       func(err error) { s.failed <- err },
	}
}

// endSessions ends the sessions of the node, because another node carries out their wills:
// clients that reconnect make them anew.
func (c *clusterStore) endSessions() {
	c.log.declaredDead()
	c.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), endSessionsTimeout)
		defer cancel()
		if err := c.server.EndSessions(ctx, "the node was cut off"); err != nil {
			c.log.Warn().Err(err).Msg("sessions not ended")
		}
	})
}

// Close closes the store, and waits for the work that its events have begun.
func (c *clusterStore) Close() error {
	err := c.Store.Close()
	c.ending.Wait()
	return err
}

const endSessionsTimeout = 10 * time.Second

func (c *clusterStore) addLoaded(e *zerolog.Event) {
	e.Int64("messages", c.messages).Str("stream", c.stream)
}

func (c *clusterStore) addClosed(e *zerolog.Event) {
	e.Str("stream", c.stream)
}

func (c *clusterStore) addError(e *zerolog.Event, err error) { e.Err(withClusterHint(c.stream, err)) }

// withClusterHint adds advice to an error of a store in NATS.
func withClusterHint(stream string, err error) error {
	err = plainStoreError(err)
	var settings *jetstream.SettingsError
	switch {
	case errors.As(err, &settings):
		return fmt.Errorf("%w: correct them by nats stream edit %s, or choose another stream by --nats-stream ($NATS_STREAM)", err, stream)
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: give the NATS user the rights that cmd/rtdb/NODES.md lists", err)
	case isNATSRefusal(err):
		return fmt.Errorf("%w: correct the user, password or token in --nats-url ($NATS_URL), or the file of --nats-creds or --nats-seed", err)
	}
	return err
}

// isNATSRefusal reports whether the NATS servers refuse the credentials.
func isNATSRefusal(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// describe names the place of the state.
func (f *clusterFlags) describe() string {
	return "The state is kept in the stream " + f.NATSStream + " of " + strings.Join(f.servers, ", ") + "."
}
