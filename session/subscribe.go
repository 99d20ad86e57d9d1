package session

import (
	"context"
	"errors"

	"rtdb/keyspace"
)

// Names are what a client subscribes to.
type Names struct {
	Keys, Topics, Patterns []string
}

// A Start says how a subscription begins, as [keyspace.Start] does: with what
// is written from now on, with what is there, or with what changed after a
// revision.
type Start struct {
	Snapshot bool
	Resume   bool
	Since    uint64
}

// Subscribe has the client told of all the names. It first gets what start has
// it get, one name after the other, as fast as it reads; and then what answer
// returns, which is the mark: what is written after the mark comes after it.
// answer may return nil, for no reply. Of the last name nothing comes between
// the two that was not asked for.
//
// Where it returns an error the client is subscribed to none of the names that
// it was not subscribed to before.
func (s *Session) Subscribe(ctx context.Context, names Names, start Start, answer func(keyspace.Mark) []byte) error {
	if err := names.check(); err != nil {
		return err
	}
	left := len(names.Keys) + len(names.Topics) + len(names.Patterns)
	reset := false
	how := keyspace.Start{
		Snapshot: start.Snapshot, Resume: start.Resume, Since: start.Since,
		Each: s.catchUp, Room: s.waitForRoom,
		Mark: func(m keyspace.Mark) {
			reset = reset || m.Reset
			if left--; left > 0 {
				return
			}
			m.Reset = reset
			if text := answer(m); text != nil {
				s.queue(item{message: Message{Text: text}, asked: true})
			}
		},
	}
	var fresh Names
	subscribe := func(known *map[string]struct{}, added *[]string, names []string, one func(string) error) error {
		for _, name := range names {
			if err := s.waitForRoom(); err != nil {
				return err
			}
			// Noted first: where ctx ends it may yet be done.
			if note(known, name) {
				*added = append(*added, name)
			}
			if err := one(name); err != nil {
				return err
			}
		}
		return nil
	}
	err := subscribe(&s.keys, &fresh.Keys, names.Keys, func(key string) error {
		return s.keyspace.Subscribe(ctx, key, s, how)
	})
	if err == nil {
		err = subscribe(&s.topics, &fresh.Topics, names.Topics, func(topic string) error {
			return s.keyspace.SubscribeTopic(ctx, topic, s, how)
		})
	}
	if err == nil {
		err = subscribe(&s.patterns, &fresh.Patterns, names.Patterns, func(pattern string) error {
			return s.keyspace.SubscribePattern(ctx, pattern, s, how)
		})
	}
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, s.Unsubscribe(ctx, fresh))
	}
	return err
}

// check returns the error of the first that is no name.
func (n *Names) check() error {
	for _, key := range n.Keys {
		if err := keyspace.CheckName(key); err != nil {
			return err
		}
	}
	for _, topic := range n.Topics {
		if err := keyspace.CheckName(topic); err != nil {
			return err
		}
	}
	for _, pattern := range n.Patterns {
		if err := keyspace.CheckPattern(pattern); err != nil {
			return err
		}
	}
	return nil
}

// Unsubscribe is the reverse of Subscribe: nothing that was subscribed to by
// these names is queued after it has returned nil.
func (s *Session) Unsubscribe(ctx context.Context, names Names) error {
	var errs []error
	forget := func(known map[string]struct{}, names []string, one func(string) error) {
		for _, name := range names {
			err := one(name)
			if err == nil {
				delete(known, name)
			}
			errs = append(errs, err)
		}
	}
	forget(s.keys, names.Keys, func(key string) error { return s.keyspace.Unsubscribe(ctx, key, s) })
	forget(s.topics, names.Topics, func(topic string) error { return s.keyspace.UnsubscribeTopic(ctx, topic, s) })
	forget(s.patterns, names.Patterns, func(pattern string) error { return s.keyspace.UnsubscribePattern(pattern, s) })
	return errors.Join(errs...)
}

// note reports whether the name was not known before.
func note(names *map[string]struct{}, name string) bool {
	if *names == nil {
		*names = make(map[string]struct{}, 1)
	}
	before := len(*names)
	(*names)[name] = struct{}{}
	return len(*names) > before
}

// Get replies with what answer makes of what the key holds: an entry whose
// value is nil where it holds nothing. The client never sees a key go back,
// whether it is told or asks.
func (s *Session) Get(ctx context.Context, key string, answer func(keyspace.Entry) []byte) error {
	if err := s.waitForRoom(); err != nil {
		return err
	}
	reply := func(e keyspace.Entry) {
		if text := answer(e); text != nil {
			s.queue(item{message: Message{Text: text}, asked: true})
		}
	}
	if s.told(key) {
		return s.keyspace.GetInOrder(ctx, key, reply)
	}
	e, err := s.keyspace.Get(key)
	if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
		return err
	}
	reply(e)
	return nil
}

// told reports whether the client is told of the key's writes.
func (s *Session) told(key string) bool {
	if _, ok := s.keys[key]; ok {
		return true
	}
	const many = 16
	if len(s.patterns) > many { // to look would cost more than to ask the key's actor
		return true
	}
	for pattern := range s.patterns {
		if keyspace.Matches(pattern, key) {
			return true
		}
	}
	return false
}
