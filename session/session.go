package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
)

// DefaultMaxPendingBytes is how much waits for a session whose [Options] do
// not say.
const DefaultMaxPendingBytes = 1 << 20

// ErrInternal ends a session whose actor panicked.
var ErrInternal = errors.New("session: actor panicked")

// A Conn is the way to the client. The session's actor alone calls it, one
// call at a time. Slices of messages are the session's again when a call
// returns. After an error the session calls only Close. There may be no
// messages: that is how Flush lets the Conn send what it has.
type Conn interface {
	// TrySend writes each message, in order, as far as the system takes them
	// at once, and does not block. Where done is false and err nil the Conn
	// has kept what is left, and the next call is Send. Only a session with a
	// Pool calls it.
	TrySend(messages []Message) (done bool, err error)

	// Send writes what TrySend has left, and then each message, in order, and
	// returns when the system has taken them. It may block, but not for ever
	// on a client that takes nothing.
	Send(messages []Message) error

	// Close tells the client why the session ends, where the connection
	// still allows it, and ends the connection. It is called once, and may
	// block for a bounded time.
	Close(cause error)
}

// ErrTooMany means that a session would have more than Options.MaxSubscriptions,
// or more bytes of wills than Options.MaxPendingBytes, or more than it has while
// memory is short.
var ErrTooMany = errors.New("session: too many subscriptions or wills")

// Options are the settings of a [Session]. The zero value is ready to use.
type Options struct {
	// MaxSubscriptions is how many names a session may be subscribed to.
	// 0 is no limit.
	MaxSubscriptions int

	// PermitWill says, at the end, whether a will may still be carried out.
	// nil: each may.
	PermitWill func(Will) bool

	// Crowded says that memory is short: of topics then no more waits than
	// crowdedPending bytes, and there are no more subscriptions and wills. It
	// is called often and must return at once. nil: it never is.
	Crowded func() bool

	// MaxPendingBytes is how much may wait of what cannot be conflated: of
	// messages of topics, which are dropped past it, and what a client asks
	// for waits from half of it on. 0 means DefaultMaxPendingBytes.
	MaxPendingBytes int

	// Pool runs the session, together with others. Where it is nil the
	// session has a goroutine of its own while something waits for its
	// client, and the Conn may block at any time.
	Pool *actor.Pool

	// Versions has updates of keys carry their version.
	Versions bool

	// Revisions has messages carry a revision to resume from.
	Revisions bool

	// OnLag is told, at most once each LagInterval, that the client has
	// fallen behind. Where it is nil nobody is.
	OnLag func(Lag)

	// OnPanic is told of a panic of the session's actor. Where it is nil
	// nobody is. The session ends with ErrInternal.
	OnPanic func(value any, stack []byte)
}

// Stats are what a session did until its end.
type Stats struct {
	Delivered uint64 // updates sent
	Conflated uint64 // updates that gave way to a newer one of their key
	Dropped   uint64 // messages of topics that were too many, and what was left at the end
	Missed    uint64 // of those the messages of topics
}

// The phases of a session. They only ever go up.
const (
	open    = iota
	closing // what waits is still sent, nothing is added
	cut     // nothing is sent any more
)

// A Session is one client. It is a [keyspace.Subscriber].
//
// Deliver, Flush, Close, Abort, Ended and Cause may be called from any
// goroutine; the other methods are for one, the client's reader.
type Session struct {
	keyspace   *keyspace.Keyspace
	conn       Conn
	options    Options
	out        actor.Actor[signal]
	box        outbox
	phase      atomic.Int32
	subscribed atomic.Int32   // names; the reader alone writes it
	closing    sync.WaitGroup // what closes conn after a panic
	ending     atomic.Bool    // Close or Abort was called: the Conn is to be closed

	mu    sync.Mutex
	cause error // of the end; the first counts

	// The actor's own.
	said     bool   // Close was called on conn
	detached bool   // the next call of handle may wait
	left     bool   // conn has kept something
	rest     uint64 // how many updates that is

	// Guarded by box.mu.
	lagTimer *time.Timer
	watching bool // the timer is set
	reported time.Time

	// The reader's own.
	keys, topics, patterns nameSet
	wills                  map[willName]Will
	willBytes              int
}

// New returns a session of a client that subscribes to nothing. The caller
// ends it with End.
func New(ks *keyspace.Keyspace, conn Conn, o Options) *Session {
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = DefaultMaxPendingBytes
	}
	s := &Session{
		keyspace: ks,
		conn:     conn,
		options:  o,
	}
	s.out.Init(s.handle, actor.Options[signal]{
		Capacity: 4,
		Pool:     o.Pool,
		OnPanic: func(p actor.Panic[signal]) {
			if o.OnPanic != nil {
				o.OnPanic(p.Value, p.Stack)
			}
			s.Abort(ErrInternal)
			s.closing.Go(func() { s.conn.Close(s.Cause()) }) // the pool does not wait
		},
	})
	return s
}

// Close ends the session after what waits has been sent. It does not wait for
// that. A reply that the client is still owed must have been queued before.
func (s *Session) Close(cause error) {
	s.giveCause(cause)
	if s.phase.CompareAndSwap(open, closing) {
		s.ending.Store(true)
		s.wakeReader()
		s.wakeActor()
	}
}

// Abort ends the session, and drops what waits. It does not wait.
func (s *Session) Abort(cause error) {
	s.giveCause(cause)
	if s.phase.Swap(cut) != cut {
		s.ending.Store(true)
		s.wakeReader()
		s.wakeActor()
	}
}

// Flush has the session's actor call Send soon, for a Conn that has something
// of its own to send and leaves it to the one who may wait. It does not wait.
func (s *Session) Flush() {
	s.box.mu.Lock()
	s.box.flush = true
	wake := s.box.wakeLocked()
	s.box.mu.Unlock()
	if wake {
		s.wakeActor()
	}
}

// Settle takes nothing more into the queue, and waits until what is in it has
// been sent: for a client that closes the connection, and is still owed the
// answers to what it had asked. Close on the Conn is not called.
func (s *Session) Settle(ctx context.Context) error {
	s.phase.CompareAndSwap(open, closing)
	s.wakeReader()
	s.wakeActor() // somebody may have queued, and not come to waking it
	return s.out.Shutdown(ctx)
}

// Ended reports whether Close or Abort was called.
func (s *Session) Ended() bool { return s.phase.Load() != open }

// Cause is why the session ended, nil while it has not.
func (s *Session) Cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

func (s *Session) giveCause(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.cause = cause
	}
}

// End waits until what Close or Abort began is done, lets go of all
// subscriptions, and then carries out the wills that are left. ctx bounds the
// wait for the first two; where it ends first End returns its cause, and the
// session may still be subscribed. It may be called again.
func (s *Session) End(ctx context.Context) (Stats, error) {
	err := s.out.Shutdown(ctx)
	s.closing.Wait() // its time is bounded
	s.stopLagTimer()
	for key := range s.keys.all() {
		err = errors.Join(err, s.keyspace.Unsubscribe(ctx, key, s))
	}
	for topic := range s.topics.all() {
		err = errors.Join(err, s.keyspace.UnsubscribeTopic(ctx, topic, s))
	}
	for pattern := range s.patterns.all() {
		err = errors.Join(err, s.keyspace.UnsubscribePattern(pattern, s))
	}
	err = errors.Join(err, s.carryOut())
	stats := s.stats()
	if err != nil {
		return stats, fmt.Errorf("session: end: %w", err)
	}
	return stats, nil
}

func (s *Session) stats() Stats {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	b := &s.box
	return Stats{Delivered: b.delivered, Conflated: b.merged, Dropped: b.offered - b.delivered - b.merged, Missed: b.skipped}
}

// A Now is what a session has done so far, and how far behind its client is.
type Now struct {
	Stats                       // of what is settled: what waits is in no count
	Subscriptions int           // names that it is subscribed to
	PendingBytes  int64         // of updates and replies
	Behind        time.Duration // since the first update that waits was written
	Lagging       bool          // the client has fallen behind
}

// Now may be called from any goroutine.
func (s *Session) Now() Now {
	b := &s.box
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := uint64(b.updates) + b.inHand
	return Now{
		Stats:         Stats{Delivered: b.delivered, Conflated: b.merged, Dropped: b.offered - b.delivered - b.merged - waiting, Missed: b.skipped},
		Subscriptions: int(s.subscribed.Load()),
		PendingBytes:  b.asked + b.told,
		Behind:        b.lagLocked(),
		Lagging:       b.places != nil || b.behindLocked(),
	}
}

// PendingKeys is the number of keys and topics of which an update waits, of very
// many about. It may be called from any goroutine.
func (s *Session) PendingKeys() int {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	return s.box.namesLocked()
}
