package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"rtdb/keyspace"
)

// willTimeout bounds how long the wills of a session wait for the actors of their
// keys, and so for the store. It does not depend on the context of End: a server
// whose shutdown grace is over still writes them.
const willTimeout = 2 * time.Second

// sharedWillTimeout is the same for a store that keeps the wills. It is longer, because such a
// store may have to elect a leader first. If it is exceeded, another server carries them out.
const sharedWillTimeout = 10 * time.Second

// WillTime returns the longest time that End takes to write the wills of a session.
func WillTime(ks *keyspace.Keyspace) time.Duration {
	if ks.Wills() != nil {
		return sharedWillTimeout
	}
	return willTimeout
}

// A Will is a write that is made when the session ends.
type Will struct {
	Target    keyspace.Target // a key or a topic
	Change    keyspace.Change // of a topic only its Value counts
	IfVersion *uint64         // the version that Change.If asks for; nil: Change has no condition
}

// withdraws reports whether the will only withdraws an earlier one.
func (w Will) withdraws() bool { return w.Change.Value == nil && !w.Change.Delete }

// SetWill keeps a will, in the place of an earlier one for the same target. A will whose
// change neither has a value nor deletes withdraws the earlier one. It returns ErrTooMany if
// all wills together would be larger than Options.MaxPendingBytes, or memory is short. If the
// keyspace's store keeps wills, SetWill waits for the store, and returns its error.
func (s *Session) SetWill(ctx context.Context, w Will) error {
	if err := w.Target.Check(); err != nil {
		return err
	}
	old, known := s.wills[w.Target]
	bytes := s.willBytes
	if known {
		bytes -= old.bytes()
	}
	if w.withdraws() {
		if !known {
			return nil
		}
		s.willBytes = bytes
		delete(s.wills, w.Target)
		return s.keepWills(ctx)
	}
	if bytes += w.bytes(); bytes > s.options.MaxPendingBytes || bytes > s.willBytes && s.crowded() {
		return ErrTooMany
	}
	if s.wills == nil {
		s.wills = make(map[keyspace.Target]Will, 1)
	}
	s.wills[w.Target] = w
	if err := s.keepWills(ctx); err != nil {
		if known {
			s.wills[w.Target] = old
		} else {
			delete(s.wills, w.Target)
		}
		return err
	}
	s.willBytes = bytes
	return nil
}

// Name says which client the session belongs to. If the keyspace's store keeps wills of the
// session, Name waits until they have the new owner. If it returns an error, the session keeps
// the owner that it had.
func (s *Session) Name(ctx context.Context, owner keyspace.WillOwner) error {
	old := s.owner
	if owner == old {
		return nil
	}
	s.owner = owner
	if len(s.wills) == 0 {
		return nil
	}
	err := s.keepWills(ctx)
	if err != nil {
		s.owner = old
	}
	return err
}

// keepWills hands the wills to the store, if it keeps wills.
func (s *Session) keepWills(ctx context.Context) error {
	store := s.keyspace.Wills()
	if store == nil {
		return nil
	}
	if s.willName == "" {
		s.willName = rand.Text()
	}
	err := store.KeepWills(ctx, s.willName, s.owner, slices.Collect(s.sharedWills(nil)))
	switch {
	case errors.Is(err, keyspace.ErrTooManyWills):
		return fmt.Errorf("%w: %w", ErrTooMany, err)
	case err != nil:
		return fmt.Errorf("%w: keep a will: %w", keyspace.ErrUnavailable, err)
	}
	return nil
}

// sharedWills yields the wills that a function permits, as the store keeps them. nil permits
// each.
func (s *Session) sharedWills(permit func(Will) bool) iter.Seq[keyspace.Will] {
	return func(yield func(keyspace.Will) bool) {
		for _, w := range s.wills {
			if permit != nil && !permit(w) {
				continue
			}
			c := w.Change
			if c.Delete { // it counts before the value
				c.Value, c.TTL = nil, 0
			}
			if !yield(keyspace.Will{Target: w.Target, Value: c.Value, IfVersion: w.IfVersion, TTL: c.TTL}) {
				return
			}
		}
	}
}

// bytes estimates the memory that the will takes.
func (w Will) bytes() int { return len(w.Target.Name) + len(w.Change.Value) + 128 }

// WithdrawWills withdraws all wills, for a client that says goodbye.
func (s *Session) WithdrawWills() { s.wills, s.willBytes = nil, 0 }

// carryOutShared lets the store carry out the wills. The writes come back by its feed, so the
// caller waits until they were delivered.
func (s *Session) carryOutShared(store keyspace.WillStore) error {
	ctx, cancel := context.WithTimeout(context.Background(), sharedWillTimeout)
	defer cancel()
	wills := slices.Collect(s.sharedWills(s.options.PermitWill))
	s.wills = nil
	if err := store.CarryOutWills(ctx, s.willName, wills); err != nil {
		return fmt.Errorf("the wills failed: %w", err)
	}
	for _, w := range wills {
		if w.Target.Kind == keyspace.KindKey {
			if err := s.keyspace.GetInOrder(ctx, w.Target.Name, func(keyspace.Entry) {}); err != nil {
				return err
			}
		}
	}
	return nil
}

// carryOut writes the wills that are left, in no order.
func (s *Session) carryOut() error {
	if store := s.keyspace.Wills(); store != nil && s.willName != "" {
		return s.carryOutShared(store)
	}
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
