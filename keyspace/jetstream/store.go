package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace"
)

// ErrClosed means that the store was closed.
var ErrClosed = errors.New("jetstream: closed")

// A Store is a [keyspace.SharedStore] on a JetStream stream.
type Store struct {
	options  Options
	subjects subjects
	process  instance // names the operations of this process
	conn     *nats.Conn
	js       natsjs.JetStream

	dialError atomic.Pointer[error] // of the last attempt to connect; nil: there was none

	stream  natsjs.Stream
	created time.Time // when the stream was made

	proposals proposals
	outbox    outbox
	batching  sync.Mutex    // held while a batch of wills is published
	deleteAge time.Duration // how long the stream remembers a delete; only tests change it
	carrying  chan struct{} // holds a token for each session whose wills are carried out
	barriers  barriers
	place     place
	clock     clock
	nodes     nodes
	heart     heart
	wills     wills
	claims    claims
	bus       bus

	endSession atomic.Pointer[EndSession] // nil: the node has no sessions yet

	loaded    atomic.Bool
	following atomic.Bool   // Follow was called
	fills     atomic.Uint64 // how often a fill has begun or ended; odd: one is in progress
	suspect   atomic.Bool   // the feed must verify the stream
	counts    counts
	observing sync.Mutex

	// These fields belong to the goroutine that loads or follows.
	fed      *nats.Subscription
	lastFed  uint64 // the sequence of the last message that the feed has brought
	takenAt  string // when the last message that was handled was stored; see stored.time
	digester digester

	// continuous says that the feed has brought every message since a beat that was sent
	// after the stream was last read. Before that, a message that was read may already
	// have been without others that were replaced, so the state at a sequence need not be
	// that of other nodes at the sequence.
	continuous bool
	readAt     time.Time // when the stream was last read

	estates map[instance]struct{} // the nodes that had left wills when the state was loaded
	advance func(version uint64)  // of the keyspace's feed; nil during Load
	repair  func(key string)      // likewise

	behind  bool // the feed has fallen behind; only beat uses it
	missing int  // how often in a row the stream was missing; only beat uses it

	lifetime context.Context
	end      context.CancelCauseFunc
	closing  sync.Mutex // held while running begins something, and while Close begins
	isClosed bool       // guarded by closing
	running  sync.WaitGroup
}

// start runs f beside the caller, unless the store is closed. It reports whether it does.
// Close waits for f.
func (s *Store) start(f func()) bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.isClosed {
		return false
	}
	s.running.Go(f)
	return true
}

type counts struct {
	conflicts, unknown, filled, foreign, reconnects, inherited atomic.Uint64
}

// Open connects to NATS. If no server can be reached, it returns a store that goes on
// trying, and Load waits. Open returns an error if a setting is wrong.
func Open(o Options) (*Store, error) {
	s := &Store{options: o.settled(), process: newInstance()}
	s.subjects = newSubjects(s.options.Stream)
	s.bus.incoming, s.bus.lost = make(chan *nats.Msg, topicPending), make(chan struct{}, 1)
	if err := checkStreamName(s.options.Stream); err != nil {
		return nil, err
	}
	s.heart.instance = newInstance()
	s.outbox.store, s.carrying, s.deleteAge = s, make(chan struct{}, maxCarrying), deleteAge
	s.lifetime, s.end = context.WithCancelCause(context.Background())
	options, err := s.connectOptions()
	if err != nil {
		return nil, err
	}
	if s.conn, err = nats.Connect(s.options.URL, options...); err != nil {
		return nil, connectError(err)
	}
	if s.js, err = natsjs.New(s.conn); err != nil {
		s.conn.Close()
		return nil, err
	}
	return s, nil
}

// Load implements [keyspace.Store]. It waits until NATS can be reached, and fails if NATS
// refuses the credentials, or the account lacks a right. It has loaded the
// state when it has read the messages that were stored before a beat of its own, and then has
// followed the feed until a second beat, because messages may be replaced while it reads.
func (s *Store) Load(state keyspace.State) (keyspace.History, error) {
	err := s.prepare()
	if err != nil {
		return keyspace.History{}, err
	}
	first := make(chan uint64, 1)
	s.heart.mu.Lock()
	s.heart.first = first
	s.heart.mu.Unlock()
	s.start(s.beat)
	until, err := s.awaitFirstBeat(first)
	if err != nil {
		return keyspace.History{}, err
	}
	s.continuous = false // until the stream is read
	forgotten := forgetting{limit: s.clock.now().Add(-deleteAge + deleteMargin)}
	messages := int64(0)
	apply := func(records []keyspace.Record) error {
		for i := range records {
			if err := state.Apply(&records[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.readUntil(until, func(x *stored) error {
		forgotten.see(x)
		if messages++; messages%10_000 == 0 {
			s.tellLoaded(messages)
		}
		return s.take(x, apply)
	}); err != nil {
		return keyspace.History{}, err
	}
	s.tellLoaded(messages)
	s.readAt = time.Now()
	if err := s.catchUp(apply); err != nil {
		return keyspace.History{}, err
	}
	place := s.place.now()
	s.heart.mu.Lock()
	s.heart.loaded = place
	s.heart.mu.Unlock()
	s.loaded.Store(true)
	return keyspace.History{
		Epoch: strconv.FormatInt(s.created.UnixNano(), 36), Last: lastVersion(place), Forgotten: forgotten.version(s.created, place),
	}, nil
}

func (s *Store) tellLoaded(messages int64) {
	s.observe(func(o *Observer) {
		if o.Loaded != nil {
			o.Loaded(messages)
		}
	})
}

// tellWaits says why Load waits. nil: it does not.
func (s *Store) tellWaits(reason error) {
	s.observe(func(o *Observer) {
		if o.Waits != nil && reason != nil {
			o.Waits(reason)
		}
	})
}

// prepare opens the stream and makes the subscriptions that beats need. It tries again until
// it succeeds, unless the stream has wrong settings, the server is too old, or the
// credentials are refused.
func (s *Store) prepare() error {
	for attempt := 0; ; attempt++ {
		err := s.prepareOnce()
		var settings *SettingsError
		var version *VersionError
		var payload *PayloadError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &settings), errors.As(err, &version), errors.As(err, &payload), isRefusal(err):
			return err
		case s.lifetime.Err() != nil:
			return context.Cause(s.lifetime)
		}
		s.heart.note(err)
		if attempt > 0 || err != errNotConnected { // otherwise the reason comes soon
			s.tellWaits(err)
		}
		select {
		case <-time.After(beatInterval):
		case <-s.lifetime.Done():
			return context.Cause(s.lifetime)
		}
	}
}

func (s *Store) prepareOnce() error {
	ctx, cancel := context.WithTimeout(s.lifetime, startTimeout)
	defer cancel()
	if !s.conn.IsConnected() {
		return s.notConnected()
	}
	if err := checkServer(s.conn.ConnectedServerVersion()); err != nil {
		return err
	}
	if limit := s.conn.MaxPayload(); limit < int64(s.options.MaxValueBytes+maxOverhead) {
		return &PayloadError{Limit: limit, Value: s.options.MaxValueBytes}
	}
	created, err := s.ensureStream(ctx)
	if err != nil {
		return err
	}
	s.heart.note(nil)
	s.created = created
	if s.fed != nil {
		return nil
	}
	s.proposals.prefix = s.conn.NewInbox() // without a dot at its end
	if _, err := s.conn.Subscribe(s.proposals.prefix+".*.*", s.answered); err != nil {
		return err
	}
	if _, err := s.conn.Subscribe(s.beatPrefix()+"*", s.beatAnswered); err != nil {
		return err
	}
	if err := s.subscribeTakeovers(); err != nil {
		return err
	}
	if err := s.subscribeLosses(); err != nil {
		return err
	}
	return s.subscribeFeed()
}

// awaitFirstBeat reads the feed until a beat of this node comes back, and returns its
// sequence. Messages before it are in the stream, so they need not be kept.
func (s *Store) awaitFirstBeat(first <-chan uint64) (uint64, error) {
	for {
		x, err := s.nextFed()
		if err != nil {
			return 0, err
		}
		rest, ok := strings.CutPrefix(x.subject, s.subjects.beats)
		if !ok {
			continue
		}
		s.heart.mu.Lock()
		own := rest == s.heart.instance.String()
		if own {
			s.heart.last = max(s.heart.last, x.sequence)
		}
		s.heart.mu.Unlock()
		var b beat
		if own && json.Unmarshal(x.data, &b) == nil {
			s.heard(&x, b.Number)
		}
		select {
		case sequence := <-first:
			return sequence, nil
		default:
		}
	}
}

// Follow implements [keyspace.SharedStore].
func (s *Store) Follow(f keyspace.Feed) {
	s.advance, s.repair = f.Advance, f.Repair
	s.settleForgotten()
	s.heart.mu.Lock()
	s.heart.healthyAt, s.heart.heardAt = time.Now(), time.Now()
	s.heart.mu.Unlock()
	s.following.Store(true)
	s.start(func() {
		s.follow(func(records []keyspace.Record) error {
			f.Apply(records)
			return nil
		})
	})
}

// ExpiryDelay implements [keyspace.SharedStore].
func (s *Store) ExpiryDelay(key string) time.Duration {
	s.heart.mu.Lock()
	id := s.heart.instance
	s.heart.mu.Unlock()
	if s.nodes.owns(id, key) {
		return 0
	}
	return expiryDelay
}

// GiveUp ends a Load that waits. It returns at once. The store must still be closed.
func (s *Store) GiveUp() { s.end(ErrClosed) }

// Close implements [keyspace.Store]. It tells the other nodes that this one leaves, so that
// they need not wait until they declare it dead.
func (s *Store) Close() error {
	s.closing.Lock()
	s.isClosed = true
	s.closing.Unlock()
	s.end(ErrClosed)
	s.running.Wait()
	if s.loaded.Load() && s.conn.IsConnected() {
		s.heart.mu.Lock()
		id, last := s.heart.instance, s.heart.last
		s.heart.mu.Unlock()
		goodbye := beat{Node: s.options.Node, Dead: true, By: id.String()}
		if s.publishBeat(id, last, goodbye, "") == nil {
			_ = s.conn.FlushTimeout(flushTimeout) // without it the others wait longer
		}
	}
	s.conn.Close()
	return nil
}

// observe calls a function of the observer, one at a time.
func (s *Store) observe(tell func(*Observer)) {
	s.observing.Lock()
	defer s.observing.Unlock()
	tell(&s.options.Observer)
}
