package session

import (
	"context"
	"errors"
	"slices"

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
// it get, one name after the other, as fast as it reads, and of each key once;
// and then what answer returns, which is the mark: what is written after the
// mark comes after it. answer may return nil, for no reply. Of the last name
// nothing comes between the two that was not asked for.
//
// Where it returns an error the client is subscribed to none of the names that
// it was not subscribed to before.
func (s *Session) Subscribe(ctx context.Context, names Names, start Start, answer func(keyspace.Mark) []byte) error {
	if err := names.check(); err != nil {
		return err
	}
	a := &subscribing{
		session: s, start: start, answer: answer,
		names: Names{Keys: distinct(names.Keys), Topics: distinct(names.Topics), Patterns: distinct(names.Patterns)},
	}
	if fresh := s.unknown(&a.names); fresh > 0 {
		if most := s.options.MaxSubscriptions; most > 0 && s.subscriptions()+fresh > most || s.crowded() {
			return ErrTooMany
		}
	}
	err := a.run(ctx)
	if err == nil && a.again {
		a.start, a.again = Start{Snapshot: true}, false
		err = a.run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, s.Unsubscribe(ctx, a.fresh))
	}
	return err
}

// subscribing is a Subscribe under way.
type subscribing struct {
	session *Session
	names   Names
	start   Start
	answer  func(keyspace.Mark) []byte

	fresh   Names // that were not subscribed to before
	left    int   // names that have not had their mark
	resumed bool  // for some name it was known what had changed
	reset   bool  // for some it was not
	again   bool  // both: then the client needs a snapshot of all
}

// run subscribes to the patterns first. What they match needs nothing more to
// begin with when its own turn comes.
func (a *subscribing) run(ctx context.Context) error {
	s := a.session
	a.left = len(a.names.Patterns) + len(a.names.Keys) + len(a.names.Topics)
	for i, pattern := range a.names.Patterns {
		before := a.names.Patterns[:i]
		how := a.how(func(u *keyspace.Update) {
			if !matchesAny(before, u.Key) {
				s.catchUp(u)
			}
		})
		err := a.one(&s.patterns, &a.fresh.Patterns, pattern, func() error {
			return s.keyspace.SubscribePattern(ctx, pattern, s, how)
		})
		if err != nil {
			return err
		}
	}
	for _, key := range a.names.Keys {
		each := s.catchUp
		if matchesAny(a.names.Patterns, key) {
			each = func(*keyspace.Update) {}
		}
		err := a.one(&s.keys, &a.fresh.Keys, key, func() error {
			return s.keyspace.Subscribe(ctx, key, s, a.how(each))
		})
		if err != nil {
			return err
		}
	}
	for _, topic := range a.names.Topics {
		err := a.one(&s.topics, &a.fresh.Topics, topic, func() error {
			how := a.how(nil)
			how.Mark = func(m keyspace.Mark) {
				m.Reset = a.reset // a topic has nothing to resume: it is as the others
				a.mark(m)
			}
			return s.keyspace.SubscribeTopic(ctx, topic, s, how)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// one subscribes to one name. It is noted first: where the context ends it may
// yet be done.
func (a *subscribing) one(known *nameSet, fresh *[]string, name string, subscribe func() error) error {
	if err := a.session.waitForRoom(); err != nil {
		return err
	}
	if known.add(name) {
		a.session.subscribed.Add(1)
		*fresh = append(*fresh, name)
	}
	return subscribe()
}

func (a *subscribing) how(each func(*keyspace.Update)) keyspace.Start {
	return keyspace.Start{
		Snapshot: a.start.Snapshot, Resume: a.start.Resume, Since: a.start.Since,
		Each: each, Room: a.session.waitForRoom, Mark: a.mark,
	}
}

// mark is called by each name. The last one's is the client's.
func (a *subscribing) mark(m keyspace.Mark) {
	a.reset = a.reset || m.Reset
	a.resumed = a.resumed || a.start.Resume && !m.Reset
	if a.left--; a.left > 0 {
		return
	}
	if a.again = a.reset && a.resumed && a.start.Resume; a.again {
		return
	}
	m.Reset = a.reset
	if text := a.answer(m); text != nil {
		a.session.answer(text)
	}
}

// Names returns what the client is subscribed to. It is for the client's reader.
func (s *Session) Names() Names {
	return Names{
		Keys: slices.Collect(s.keys.all()), Topics: slices.Collect(s.topics.all()), Patterns: slices.Collect(s.patterns.all()),
	}
}

func (s *Session) subscriptions() int { return s.keys.len() + s.topics.len() + s.patterns.len() }

// unknown counts the names that it is not subscribed to yet.
func (s *Session) unknown(names *Names) (n int) {
	for _, x := range []struct {
		known *nameSet
		names []string
	}{{&s.keys, names.Keys}, {&s.topics, names.Topics}, {&s.patterns, names.Patterns}} {
		for _, name := range x.names {
			if !x.known.has(name) {
				n++
			}
		}
	}
	return n
}

func distinct(names []string) []string {
	if len(names) < 2 {
		return names
	}
	var seen nameSet
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !seen.add(name) })
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return keyspace.Matches(pattern, name) })
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
	forget := func(known *nameSet, names []string, one func(string) error) {
		for _, name := range names {
			err := one(name)
			if err == nil && known.remove(name) {
				s.subscribed.Add(-1)
			}
			errs = append(errs, err)
		}
	}
	forget(&s.keys, names.Keys, func(key string) error { return s.keyspace.Unsubscribe(ctx, key, s) })
	forget(&s.topics, names.Topics, func(topic string) error {
		err := s.keyspace.UnsubscribeTopic(ctx, topic, s)
		s.box.mu.Lock()
		defer s.box.mu.Unlock()
		_ = s.box.takeMissedLocked(topic) // of that it is not to hear any more either
		return err
	})
	forget(&s.patterns, names.Patterns, func(pattern string) error { return s.keyspace.UnsubscribePattern(pattern, s) })
	return errors.Join(errs...)
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
			s.answer(text)
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
	if s.keys.has(key) {
		return true
	}
	const many = 16
	if s.patterns.len() > many { // to look would cost more than to ask the key's actor
		return true
	}
	for pattern := range s.patterns.all() {
		if keyspace.Matches(pattern, key) {
			return true
		}
	}
	return false
}
