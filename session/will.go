package session

import (
	"context"
	"fmt"
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
// that has no value only withdraws that. It returns ErrTooMany where all of them
// together would be larger than what may wait for the client, or memory is short.
func (s *Session) SetWill(w Will) error {
	if err := keyspace.CheckName(w.Key + w.Topic); err != nil {
		return err
	}
	name := w.name()
	old, known := s.wills[name]
	bytes := s.willBytes
	if known {
		bytes -= old.bytes()
	}
	if w.Value == nil {
		s.willBytes = bytes
		delete(s.wills, name)
		return nil
	}
	if bytes += w.bytes(); bytes > s.options.MaxPendingBytes || bytes > s.willBytes && s.crowded() {
		return ErrTooMany
	}
	s.willBytes = bytes
	if s.wills == nil {
		s.wills = make(map[willName]Will, 1)
	}
	s.wills[name] = w
	return nil
}

type willName struct{ key, topic string }

// bytes is what it takes to keep it, roughly.
func (w Will) bytes() int { return len(w.Key) + len(w.Topic) + len(w.Value) + 64 }

func (w Will) name() willName { return willName{w.Key, w.Topic} }

// WithdrawWills is for a client that takes its leave.
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
		// A writer is answered before others are told. Who waits for this
		// session's end may end others next, so what follows stands in line
		// behind the telling.
		var err error
		if w.Key != "" {
			if _, err = s.keyspace.Set(ctx, w.Key, w.Value); err == nil {
				err = s.keyspace.GetInOrder(ctx, w.Key, func(keyspace.Entry) {})
			}
		} else if err = s.keyspace.Publish(ctx, w.Topic, w.Value); err == nil {
			err = s.keyspace.UnsubscribeTopic(ctx, w.Topic, s)
		}
		if err != nil {
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
