package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rtdb/keyspace"
)

// willTimeout bounds how long the wills of a session wait for the actors of their
// keys, and so for the store. It does not depend on the context of End: a server
// whose shutdown grace is over still writes them.
const willTimeout = 2 * time.Second

// A Will is a write that is made when the session ends.
type Will struct {
	Target keyspace.Target // a key or a topic
	Change keyspace.Change // of a topic only its Value counts
}

// withdraws reports whether the will only withdraws an earlier one.
func (w Will) withdraws() bool { return w.Change.Value == nil && !w.Change.Delete }

// SetWill keeps a will, in the place of an earlier one for the same target. A will whose
// change neither has a value nor deletes withdraws the earlier one. It returns ErrTooMany if all wills together would be
// larger than Options.MaxPendingBytes, or memory is short.
func (s *Session) SetWill(w Will) error {
	if err := w.Target.Check(); err != nil {
		return err
	}
	old, known := s.wills[w.Target]
	bytes := s.willBytes
	if known {
		bytes -= old.bytes()
	}
	if w.withdraws() {
		s.willBytes = bytes
		delete(s.wills, w.Target)
		return nil
	}
	if bytes += w.bytes(); bytes > s.options.MaxPendingBytes || bytes > s.willBytes && s.crowded() {
		return ErrTooMany
	}
	s.willBytes = bytes
	if s.wills == nil {
		s.wills = make(map[keyspace.Target]Will, 1)
	}
	s.wills[w.Target] = w
	return nil
}

// bytes estimates the memory that the will takes.
func (w Will) bytes() int { return len(w.Target.Name) + len(w.Change.Value) + 128 }

// WithdrawWills withdraws all wills, for a client that says goodbye.
func (s *Session) WithdrawWills() { s.wills, s.willBytes = nil, 0 }

// carryOut writes the wills that are left, in no order.
func (s *Session) carryOut() error {
	if len(s.wills) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), willTimeout)
	defer cancel()
	var first error
	failed := 0
	for _, w := range s.wills {
		if s.options.PermitWill != nil && !s.options.PermitWill(w) {
			continue
		}
		if err := s.write(ctx, w); err != nil {
			failed++
			if first == nil {
				first = err
			}
		}
	}
	s.wills = nil
	if first != nil {
		return fmt.Errorf("%d wills failed, one of them: %w", failed, first)
	}
	return nil
}

// write carries out a will, and waits until it was delivered: the caller may end
// other sessions next, and they are to receive it. A writer is answered before its
// update is delivered, so a second request waits behind the delivery. A will whose
// condition does not hold, or that has nothing to delete, does nothing.
func (s *Session) write(ctx context.Context, w Will) error {
	if w.Target.Kind == keyspace.KindTopic {
		if err := s.keyspace.Publish(ctx, w.Target.Name, w.Change.Value); err != nil {
			return err
		}
		return s.keyspace.Unsubscribe(ctx, w.Target, s)
	}
	_, err := s.keyspace.Write(ctx, w.Target.Name, w.Change)
	if mismatch := (*keyspace.VersionError)(nil); errors.As(err, &mismatch) || errors.Is(err, keyspace.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.keyspace.GetInOrder(ctx, w.Target.Name, func(keyspace.Entry) {})
}
