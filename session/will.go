package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rtdb/keyspace"
)

// willTimeout is how long the wills of a session may wait for their keys'
// actors, and so for the store. It is not the context of the session's end: a
// server that runs out of grace writes them nevertheless.
const willTimeout = 2 * time.Second

// A Will is a write that is made when the session ends.
type Will struct {
	Key, Topic string // one of them is empty
	Value      []byte
}

// SetWill keeps a will, in the place of one for the same key or topic. One
// that has no value only withdraws that.
func (s *Session) SetWill(w Will) error {
	name := w.Key + w.Topic
	if err := keyspace.CheckName(name); err != nil {
		return err
	}
	at := slices.IndexFunc(s.wills, func(old Will) bool { return old.Key == w.Key && old.Topic == w.Topic })
	switch {
	case at >= 0 && w.Value == nil:
		s.wills = slices.Delete(s.wills, at, at+1)
	case at >= 0:
		s.wills[at] = w
	case w.Value != nil:
		s.wills = append(s.wills, w)
	}
	return nil
}

// WithdrawWills is for a client that takes its leave.
func (s *Session) WithdrawWills() { s.wills = nil }

// carryOut writes the wills that are left.
func (s *Session) carryOut() error {
	ctx, cancel := context.WithTimeout(context.Background(), willTimeout)
	defer cancel()
	var errs []error
	for _, w := range s.wills {
		var err error
		if w.Key != "" {
			_, err = s.keyspace.Set(ctx, w.Key, w.Value)
		} else {
			err = s.keyspace.Publish(ctx, w.Topic, w.Value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("will: %w", err))
		}
	}
	s.wills = nil
	return errors.Join(errs...)
}
