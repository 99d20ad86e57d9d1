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

// DefaultMaxPendingBytes is how much waits for a session whose [Options] do
// not say.
const DefaultMaxPendingBytes = 1 << 20

var (
	// ErrTooSlow ends a session whose client lets too much wait.
	ErrTooSlow = errors.New("session: client too slow")

	// ErrInternal ends a session whose actor panicked.
	ErrInternal = errors.New("session: actor panicked")
)

// A Conn is the way to the client. The session's actor alone calls it, one
// call at a time.
type Conn interface {
	// Send writes each message as one text message, in order, and returns
	// when the system has taken them. It may block, but not for ever on a
	// client that takes nothing. The bytes are shared and must not be
	// changed. After an error the session calls only Close. There may be no
	// messages: that is how Flush lets the Conn send what it has.
	Send(messages [][]byte) error

	// Close tells the client why the session ends, where the connection
	// still allows it, and ends the connection. It is called once, and may
	// block for a bounded time.
	Close(cause error)
}

// Options are the settings of a [Session]. The zero value is ready to use.
type Options struct {
	// MaxPendingBytes is how much may wait before the client is too slow.
	// 0 means DefaultMaxPendingBytes.
	MaxPendingBytes int

	// OnLag is told, at most once each LagInterval, that the client has
	// fallen behind. Where it is nil nobody is. It is called by the session's
	// actor.
	OnLag func(Lag)

	// OnPanic is told of a panic of the session's actor. Where it is nil
	// nobody is. The session ends with ErrInternal.
	OnPanic func(value any, stack []byte)
}

// Stats are what a session did until its end.
type Stats struct {
	Delivered uint64 // updates sent
	Dropped   uint64 // updates that came too late, or while it ended
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
	maxPending int64
	out        actor.Actor[mail]
	pending    atomic.Int64  // bytes in out
	drained    chan struct{} // gets a token when pending fell, or all ended
	phase      atomic.Int32
	offered    atomic.Uint64 // updates that Deliver got
	delivered  atomic.Uint64 // updates that were sent

	mu    sync.Mutex
	cause error // of the end; the first counts

	lag  lagWatch // the actor's own
	said bool     // Close was called on conn; the actor's own

	keys, topics map[string]struct{} // the reader's own
}

// New returns a session of a client that subscribes to nothing. The caller
// ends it with End.
func New(ks *keyspace.Keyspace, conn Conn, o Options) *Session {
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = DefaultMaxPendingBytes
	}
	s := &Session{
		keyspace:   ks,
		conn:       conn,
		maxPending: int64(o.MaxPendingBytes),
		drained:    make(chan struct{}, 1),
		lag:        lagWatch{report: o.OnLag},
	}
	s.out.Init(s.handle, actor.Options[mail]{
		// No update is shorter than 16 bytes, so it is the bytes that
		// end a slow client, not the messages.
		Capacity: o.MaxPendingBytes/16 + 64,
		OnPanic: func(p actor.Panic[mail]) {
			if o.OnPanic != nil {
				o.OnPanic(p.Value, p.Stack)
			}
			s.Abort(ErrInternal)
			s.conn.Close(s.Cause())
		},
	})
	return s
}

// Deliver queues an update for the client. It never waits.
func (s *Session) Deliver(u *keyspace.Update) {
	s.offered.Add(1)
	if s.phase.Load() != open {
		return
	}
	message := u.Message()
	size := int64(len(message))
	// What waited before counts, so that one value may be longer than what
	// may wait.
	if s.pending.Add(size)-size > s.maxPending {
		s.Abort(ErrTooSlow)
		return
	}
	if err := s.out.TrySend(mail{message: message, update: u}); errors.Is(err, actor.ErrFull) {
		s.Abort(ErrTooSlow)
	}
}

// Reply queues an answer to the client, behind all updates that were delivered
// before. It waits while half of what may wait does, and returns an error when
// the session has ended.
func (s *Session) Reply(message []byte) error {
	s.waitForRoom()
	return s.queueReply(message)
}

func (s *Session) waitForRoom() {
	for s.throttled() && s.phase.Load() == open {
		<-s.drained
	}
}

// queueReply does not wait.
func (s *Session) queueReply(message []byte) error {
	if s.phase.Load() != open {
		return s.Cause()
	}
	s.pending.Add(int64(len(message)))
	if err := s.out.TrySend(mail{message: message}); err != nil {
		if errors.Is(err, actor.ErrFull) {
			s.Abort(ErrTooSlow)
		}
		return s.Cause()
	}
	return nil
}

// replyInPlace returns a function for a key's actor to call: it queues what
// answer returns, if it returns anything, between the updates that came before
// and those that come after.
func (s *Session) replyInPlace(answer func(keyspace.Entry) []byte) func(keyspace.Entry) {
	return func(e keyspace.Entry) {
		if message := answer(e); message != nil {
			_ = s.queueReply(message) // an error says that the session has ended
		}
	}
}

// Get replies with what answer makes of what the key holds: an entry whose
// value is nil where it holds nothing. The client never sees a key go back,
// whether it is told or asks.
func (s *Session) Get(ctx context.Context, key string, answer func(keyspace.Entry) []byte) error {
	s.waitForRoom()
	if _, told := s.keys[key]; told {
		return s.keyspace.GetInOrder(ctx, key, s.replyInPlace(answer))
	}
	e, err := s.keyspace.Get(key)
	if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
		return err
	}
	s.replyInPlace(answer)(e)
	return nil
}

// Subscribe has the client told of every write to the key from now on. What
// answer returns, of what the key holds by then, is the mark: the client gets
// it before all that it is told from now on. It may return nil, for no reply.
func (s *Session) Subscribe(ctx context.Context, key string, answer func(keyspace.Entry) []byte) error {
	s.waitForRoom()
	err := s.keyspace.Subscribe(ctx, key, s, s.replyInPlace(answer))
	if err == nil || ctx.Err() != nil { // then it may have been done
		note(&s.keys, key)
	}
	return err
}

// Unsubscribe is the reverse of Subscribe: nothing of the key is queued after
// it has returned nil.
func (s *Session) Unsubscribe(ctx context.Context, key string) error {
	err := s.keyspace.Unsubscribe(ctx, key, s)
	if err == nil {
		delete(s.keys, key)
	}
	return err
}

// SubscribeTopic has the client told of what is published to the topic. What
// answer returns is the mark, as of Subscribe.
func (s *Session) SubscribeTopic(ctx context.Context, topic string, answer func() []byte) error {
	s.waitForRoom()
	inPlace := s.replyInPlace(func(keyspace.Entry) []byte { return answer() })
	err := s.keyspace.SubscribeTopic(ctx, topic, s, func() { inPlace(keyspace.Entry{}) })
	if err == nil || ctx.Err() != nil {
		note(&s.topics, topic)
	}
	return err
}

// UnsubscribeTopic is the reverse of SubscribeTopic.
func (s *Session) UnsubscribeTopic(ctx context.Context, topic string) error {
	err := s.keyspace.UnsubscribeTopic(ctx, topic, s)
	if err == nil {
		delete(s.topics, topic)
	}
	return err
}

func note(names *map[string]struct{}, name string) {
	if *names == nil {
		*names = make(map[string]struct{}, 1)
	}
	(*names)[name] = struct{}{}
}

// Close ends the session after what waits has been sent. It does not wait for
// that. A reply that the client is still owed must have been queued before.
func (s *Session) Close(cause error) {
	s.giveCause(cause)
	if !s.phase.CompareAndSwap(open, closing) {
		return
	}
	s.wakeReader()
	if err := s.out.TrySend(mail{kind: end}); errors.Is(err, actor.ErrFull) {
		s.Abort(cause)
	}
}

// Abort ends the session, and drops what waits. It does not wait.
func (s *Session) Abort(cause error) {
	s.giveCause(cause)
	if s.phase.Swap(cut) == cut {
		return
	}
	s.wakeReader()
	// Only to wake an idle actor. One that has mail sees the phase.
	_ = s.out.TrySend(mail{kind: end})
}

// Flush has the session's actor call Send soon, for a Conn that has something
// of its own to send and leaves it to the one who may wait. It does not wait.
func (s *Session) Flush() {
	_ = s.out.TrySend(mail{kind: wake}) // if it is full, Send is called anyway
}

// Settle takes nothing more into the queue, and waits until what is in it has
// been sent: for a client that closes the connection, and is still owed the
// answers to what it had asked. Close on the Conn is not called.
func (s *Session) Settle(ctx context.Context) error {
	s.phase.CompareAndSwap(open, closing)
	s.wakeReader()
	return s.out.Shutdown(ctx)
}

// throttled reports whether so much waits that replies wait for room.
func (s *Session) throttled() bool { return s.pending.Load() > s.maxPending/2 }

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

// End waits until what Close or Abort began is done, and then lets go of all
// subscriptions. ctx bounds the wait for both; where it ends first End returns
// its cause, and the session may still be subscribed.
func (s *Session) End(ctx context.Context) (Stats, error) {
	err := s.out.Shutdown(ctx)
	for key := range s.keys {
		err = errors.Join(err, s.keyspace.Unsubscribe(ctx, key, s))
	}
	for topic := range s.topics {
		err = errors.Join(err, s.keyspace.UnsubscribeTopic(ctx, topic, s))
	}
	stats := Stats{Delivered: s.delivered.Load()}
	stats.Dropped = s.offered.Load() - stats.Delivered
	if err != nil {
		return stats, fmt.Errorf("session: end: %w", err)
	}
	return stats, nil
}
