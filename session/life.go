package session

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// A phase is a part of a session's life. The package's documentation has the
// diagram.
type phase int32

const (
	open     phase = iota // messages are accepted and sent
	draining              // what waits is sent; the Conn stays open
	closing               // what waits is sent; then the Conn is closed
	ended                 // nothing is sent; the Conn is closed
)

// A life is the phase of a session and the cause of its end. It may be used from
// any goroutine.
type life struct {
	current atomic.Int32
	cause   atomic.Pointer[error] // the first that was given
}

func (l *life) phase() phase { return phase(l.current.Load()) }

// leave moves an open session to another phase, and reports whether it did.
func (l *life) leave(to phase) bool { return l.current.CompareAndSwap(int32(open), int32(to)) }

// end moves the session to ended, and reports whether it was in another phase.
func (l *life) end() bool { return phase(l.current.Swap(int32(ended))) != ended }

func (l *life) setCause(cause error) { l.cause.CompareAndSwap(nil, &cause) }

// Close ends the session after what waits has been sent. It does not wait for
// that. Replies that the client is still owed must have been queued before.
func (s *Session) Close(cause error) {
	s.life.setCause(cause)
	if s.life.leave(closing) {
		s.box.signalSpace()
		s.wakeActor()
	}
}

// Abort ends the session and drops what waits. It does not wait.
func (s *Session) Abort(cause error) {
	s.life.setCause(cause)
	if s.life.end() {
		s.box.signalSpace()
		s.wakeActor()
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
func (s *Session) Ending() bool { return s.life.phase() != open }

// Cause returns why the session ends: the first cause that Close or Abort was
// given. It is nil before that.
func (s *Session) Cause() error {
	if cause := s.life.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// End waits until the actor has done what Close, Abort or Drain asked for, ends
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
