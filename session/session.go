package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"rtdb/actor"
	"rtdb/keyspace"
)

// DefaultMaxPendingBytes is Options.MaxPendingBytes if it is 0.
const DefaultMaxPendingBytes = 1 << 20

var (
	// ErrInternal ends a session whose actor panicked.
	ErrInternal = errors.New("session: actor panicked")

	// ErrTooManyMissed ends a session that has missed messages of so many topics that
	// their names would take more than 4 MiB.
	ErrTooManyMissed = errors.New("session: messages of too many topics were dropped")

	// ErrTooMany means that the session would have more subscriptions than
	// Options.MaxSubscriptions, or more bytes of wills than
	// Options.MaxPendingBytes, or that memory is short.
	ErrTooMany = errors.New("session: too many subscriptions or wills")

	// ErrLeft ends a request whose client has left meanwhile: StopSnapshot or Drain was
	// called.
	ErrLeft = errors.New("session: client has left")
)

// A Conn writes to the client. Only the session's actor calls it, one call at a
// time. A slice of messages belongs to the session again when the call returns.
// After an error the session calls only Close. A slice may be empty: the session
// passes it on for Flush.
type Conn interface {
	// TrySend writes the messages in order, as far as that is possible without
	// blocking. If done is false and err is nil, the Conn has kept the rest,
	// and the next call is Send. TrySend is called only with Options.Pool.
	TrySend(messages []Message) (done bool, err error)

	// Send writes the rest that TrySend has kept, then the messages in order, and returns
	// when the system has taken them. It may block, but not forever if the
	// client takes nothing.
	Send(messages []Message) error

	// Close tells the client why the session ends, if the connection allows
	// that, and ends the connection. It is called once, and may block for a
	// bounded time.
	Close(cause error)
}

// An Encoder makes the texts of messages that do not come from the transport. Its
// functions must not block. Sessions with the same Form share the text of an update (see
// [keyspace.Update.Encoded]), so they must have the same Encoder.
type Encoder struct {
	Form   keyspace.Form
	Update func(u *keyspace.Update) []byte     // the text of an update, or of the notice of a gap
	Missed func(topic string, n uint64) []byte // the notice that the client missed n messages of a topic
}

// Options are the settings of a [Session]. Encoder must be set; the other zero
// values are ready to use.
type Options struct {
	// Encoder makes the texts of updates.
	Encoder *Encoder

	// MaxSubscriptions limits the subscriptions of the session. 0 is no limit.
	MaxSubscriptions int

	// MaxPendingBytes limits the messages of topics that wait: further ones are
	// dropped. The reader waits while more than half as many bytes of
	// replies and snapshots wait (see outbox.throttled). 0 means DefaultMaxPendingBytes.
	MaxPendingBytes int

	// PermitWill reports, when the session ends, whether a will may still be
	// carried out. nil permits each.
	PermitWill func(Will) bool

	// Crowded reports that memory is short: then at most 16 KiB of topics'
	// messages wait, and there are no new subscriptions and wills. It is called
	// often and must return at once. nil: memory is never short.
	Crowded func() bool

	// Pool runs the session's actor together with others. If it is nil, the
	// session has a goroutine of its own while something waits for its client,
	// and the Conn may block at any time.
	Pool *actor.Pool

	// Revisions gives messages a revision to resume from.
	Revisions bool

	// OnLag reports that the client lags (see [Status]), at most once each
	// LagInterval. nil: lag is not reported.
	OnLag func(Lag)

	// OnPanic reports a panic of the session's actor. The session ends with
	// ErrInternal. nil: panics are not reported.
	OnPanic func(value any, stack []byte)
}

// A Session is one client. It is a [keyspace.Subscriber].
//
// Deliver, Tell, Flush, Uncork, StopSnapshot, Close, Abort, Drain, Ending, Cause, Inspect
// and PendingKeys may be called from any goroutine. The other methods are for the client's
// reader: one call at a time.
//
// The fields that a delivery uses come first, and apart from those that only the actor
// writes: a delivery to one of 1000 sessions costs little more than loading them into the
// cache. In the order of their meaning, a delivery took 25% longer (BenchmarkDeliver). All
// fields together have 512 bytes at most (TestASessionIsSmall).
type Session struct {
	life     life
	encoder  *Encoder
	conn     Conn
	keyspace *keyspace.Keyspace
	options  *Options // not changed after New

	withRevisions bool
	pooled        bool // the actor must not block, except when it is detached

	box outbox // begins with the second line of the cache

	// These fields belong to the actor.
	connClosed bool // Close was called on conn
	detached   bool // the next call of sendWaiting may block
	unsent     bool // conn has kept messages that TrySend could not write

	out actor.Actor[signal]

	lag      lagWatch
	panicked sync.WaitGroup // closes the Conn after a panic

	// These fields belong to the client's reader.
	subscriptions subscriptions
	subscribed    atomic.Int32 // the length of subscriptions; others may read it
	snapshot      snapshotState
	wills         map[keyspace.Target]Will
	willBytes     int
	willName      string // names the wills in the store; "" if it does not keep them
	owner         keyspace.WillOwner
}

// New returns a session of a client that has no subscriptions. The caller ends it
// with End.
func New(ks *keyspace.Keyspace, conn Conn, o Options) *Session {
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = DefaultMaxPendingBytes
	}
	s := &Session{
		encoder: o.Encoder, conn: conn, keyspace: ks,
		withRevisions: o.Revisions, pooled: o.Pool != nil, options: &o,
	}
	s.lag.session = s
	s.out.InitHandler((*sender)(s), actor.Options[signal]{Capacity: 4, Pool: o.Pool})
	return s
}

// Close ends the session after the waiting messages have been sent. It does not wait for
// that. Replies that the client is still owed must have been queued before.
func (s *Session) Close(cause error) {
	s.life.setCause(cause)
	if s.life.leave(closing) {
		s.box.signalSpace()
		s.wakeActor()
	}
}

// Abort ends the session and drops the waiting messages. It does not wait.
func (s *Session) Abort(cause error) {
	s.life.setCause(cause)
	if s.life.end() {
		s.box.signalSpace()
		s.wakeActor()
	}
}

// StopSnapshot ends the call of Subscribe that sends a snapshot, with ErrLeft, and drops
// the messages that wait. If there is no such call it does nothing. Later snapshots end at
// once. It is for a client that closes in the middle of a snapshot: it does not wait for
// the rest.
func (s *Session) StopSnapshot() {
	if s.snapshot.stop() {
		s.box.drop()
		s.box.signalSpace()
	}
}

// Drain stops accepting messages and waits until those that wait have been sent,
// or ctx ends. It is for a client that closes the connection and is still owed
// the replies to its requests. The session does not close the Conn.
func (s *Session) Drain(ctx context.Context) error {
	s.life.leave(draining)
	s.box.signalSpace()
	s.wakeActor() // a message may have been queued whose sender has not woken the actor yet
	return s.out.Shutdown(ctx)
}

// Ending reports whether Close, Abort or Drain was called: the session accepts
// no more messages.
func (s *Session) Ending() bool { return s.life.now() != open }

// Cause returns why the session ends: the first cause that Close or Abort was
// given. It is nil before that.
func (s *Session) Cause() error {
	if cause := s.life.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// End waits until the actor has done the work of Close, Abort or Drain, ends
// all subscriptions, and then carries out the wills. ctx bounds the wait for the
// first two: if it ends first, End returns its cause, and the session may still
// be subscribed. End may be called again.
func (s *Session) End(ctx context.Context) (Stats, error) {
	err := s.out.Shutdown(ctx)
	s.panicked.Wait() // it takes a bounded time
	s.lag.stop()
	for target := range s.subscriptions.all() {
		err = errors.Join(err, s.keyspace.Unsubscribe(ctx, target, s))
	}
	err = errors.Join(err, s.carryOut())
	if err != nil {
		err = fmt.Errorf("session: end: %w", err)
	}
	return s.box.stats(), err
}

func (s *Session) crowded() bool { return s.options.Crowded != nil && s.options.Crowded() }

// Inspect returns the status of the session.
func (s *Session) Inspect() Status {
	status := s.box.status()
	status.Subscriptions = int(s.subscribed.Load())
	return status
}

// PendingKeys returns the number of keys and topics of which an update waits. If
// very many updates wait it is an estimate.
func (s *Session) PendingKeys() int { return s.box.pendingKeys() }
