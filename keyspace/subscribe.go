package keyspace

import (
	"context"
	"errors"
	"time"
)

// A Start says how a subscription begins. The zero value has it begin with the
// writes from now on.
type Start struct {
	// Snapshot has Each called with what each key holds.
	Snapshot bool

	// Resume has Each called only with what changed after revision Since,
	// deletes included. Where that is not known, because Since is older than
	// the deletes that are remembered, or from a future that is not this
	// keyspace's, Each is called with all, as for Snapshot, and the Mark says
	// Reset.
	Resume bool
	Since  uint64

	// Each is called in the place of its update: later ones of the key are
	// delivered after it, and no earlier one is, but to a subscriber that
	// had subscribed before. It is bound as Deliver is. A write that comes
	// after the beginning of a pattern's subscription is delivered, and not
	// passed to Each.
	Each func(*Update)

	// Room, where it is not nil, is called by a pattern's subscription before
	// each key that it asks. It may wait; its error ends the subscription.
	Room func() error

	// Mark, where it is not nil, is called once, when all calls of Each have
	// returned. What is written after it is delivered after it; it is bound
	// as Deliver is.
	Mark func(Mark)
}

// A Mark is where a subscription goes over from what was to what comes.
type Mark struct {
	// Revision is one to resume from: with it, and what was delivered and
	// passed to Each before the mark, no write of what was subscribed to is
	// missed that was made after the subscription began.
	Revision uint64

	// Reset says that Each was called with all: who had kept keys that it was
	// not called with must take them for deleted.
	Reset bool
}

// Subscribe has s told of every write to the key from now on; twice is as
// once.
func (ks *Keyspace) Subscribe(ctx context.Context, key string, s Subscriber, start Start) error {
	if err := CheckName(key); err != nil {
		return err
	}
	return ks.keys.ask(ctx, key, true, ask{op: opSubscribe, subscriber: s, start: &start})
}

// Unsubscribe is the reverse of Subscribe, and does nothing where s is not
// subscribed. After it has returned nil, s is told nothing more of the key, if
// it is not by a pattern.
func (ks *Keyspace) Unsubscribe(ctx context.Context, key string, s Subscriber) error {
	if err := CheckName(key); err != nil {
		return err
	}
	return exceptAbsent(ks.keys.ask(ctx, key, false, ask{op: opUnsubscribe, subscriber: s}))
}

// SubscribePattern has s told of every write from now on to the keys that
// match the pattern, those included that are made later; twice is as once.
// Where there is a snapshot or something to resume, it asks one key after the
// other, and returns when it has asked all; where it returns an error the
// subscription goes on, and s must be unsubscribed.
func (ks *Keyspace) SubscribePattern(ctx context.Context, pattern string, s Subscriber, start Start) error {
	if err := CheckPattern(pattern); err != nil {
		return err
	}
	if ks.keys.closed.Load() {
		return ErrClosed
	}
	mark := func(reset bool) {
		if start.Mark != nil {
			start.Mark(Mark{Revision: ks.progress.revision(), Reset: reset})
		}
	}
	if !start.Snapshot && !start.Resume {
		ks.patterns.add(pattern, s, func() { mark(false) })
		return nil
	}
	clock := ks.patterns.add(pattern, s, nil)

	// From here on writes are delivered. What was told before the clock is
	// in the index, or under a tombstone.
	var deleted []tombstone
	reset := start.Resume && start.Since > ks.progress.highest()
	if start.Resume && !reset {
		var known bool
		deleted, known = ks.tombstones.after(start.Since)
		reset = !known
	}
	start.settle(reset)
	if err := ks.catchUp(ctx, pattern, clock, &start, deleted); err != nil {
		return err
	}
	mark(reset)
	return nil
}

// UnsubscribePattern is the reverse of SubscribePattern, as Unsubscribe is of
// Subscribe.
func (ks *Keyspace) UnsubscribePattern(pattern string, s Subscriber) error {
	if err := CheckPattern(pattern); err != nil {
		return err
	}
	ks.patterns.remove(pattern, s)
	return nil
}

// settle has a start that needs all be a snapshot.
func (s *Start) settle(reset bool) {
	if reset {
		s.Resume, s.Snapshot = false, true
	}
	if !s.Resume {
		s.Since = 0
	}
}

// catchUp asks the actors of all keys that match the pattern, and of those
// deleted that do, to pass what they hold to start.Each.
func (ks *Keyspace) catchUp(ctx context.Context, pattern string, clock uint64, start *Start, deleted []tombstone) error {
	var err error
	one := func(name string, grave *tombstone) bool {
		if start.Room != nil {
			if err = start.Room(); err != nil {
				return false
			}
		}
		a := ask{op: opCatchUp, start: start, clock: clock, grave: grave}
		err = exceptAbsent(ks.keys.ask(ctx, name, grave != nil, a))
		return err == nil
	}
	for k := range ks.matching(pattern, "") {
		if s := k.load(); s.value == nil || s.version <= start.Since {
			continue // what is written from now on is delivered
		}
		if !one(k.name, nil) {
			return err
		}
	}
	for i := range deleted {
		if grave := &deleted[i]; Matches(pattern, grave.name) && !one(grave.name, grave) {
			return err
		}
	}
	return nil
}

// matching walks the keys that match a pattern, from after a name on, sorted.
func (ks *Keyspace) matching(pattern, after string) func(yield func(*key) bool) {
	return func(yield func(*key) bool) {
		ks.index.walk(after, literal(pattern), func(k *key) bool {
			return !Matches(pattern, k.name) || yield(k)
		})
	}
}

// begin is the key's part of Subscribe.
func (k *key) begin(start *Start) {
	var m Mark
	// Its tombstone is looked for before it is asked whether one could have
	// been forgotten, so that none is in between.
	grave, buried := k.keyspace.tombstones.find(k.name)
	m.Reset = start.Resume &&
		(start.Since > k.keyspace.progress.highest() || !k.keyspace.tombstones.knows(start.Since))
	start.settle(m.Reset)
	switch s := k.load(); {
	case s.value != nil && (start.Snapshot || start.Resume):
		pass(start, k.name, s.value, s.version)
	case s.value == nil && start.Resume && buried:
		pass(start, k.name, nil, grave.version)
	}
	if start.Mark != nil {
		m.Revision = k.keyspace.progress.revision()
		start.Mark(m)
	}
}

// catchUp is the key's part of a pattern's subscription, which began at clock.
// What was told at that clock or later was told to the subscriber. grave is
// the tombstone that the key was looked up by. By now it may have another, for
// it may have been made and deleted again; or none, for others have died since.
func (k *key) catchUp(start *Start, clock uint64, grave *tombstone) {
	if now, ok := k.keyspace.tombstones.find(k.name); ok && grave != nil {
		grave = &now
	}
	switch s := k.load(); {
	case s.value == nil && grave != nil && s.version <= grave.version && grave.told < clock:
		pass(start, k.name, nil, grave.version)
	case s.value != nil && (k.view == nil || k.view.told < clock):
		pass(start, k.name, s.value, s.version)
	}
}

// pass passes what a key holds to start.Each, if it is wanted.
func pass(start *Start, name string, value []byte, version uint64) {
	if version > start.Since {
		start.Each(&Update{Key: name, Value: value, Version: version, At: time.Now()})
	}
}

// Revision returns a version up to which all writes are done, that is, seen by
// readers and told to who had subscribed. Later ones may be done, too, while
// one of another key is in flight.
func (ks *Keyspace) Revision() uint64 { return ks.progress.revision() }

// SubscribeTopic has s told of what is published to the topic from now on;
// twice is as once. Of start only Mark counts: a topic holds nothing.
func (ks *Keyspace) SubscribeTopic(ctx context.Context, topic string, s Subscriber, start Start) error {
	if err := CheckName(topic); err != nil {
		return err
	}
	return ks.topics.ask(ctx, topic, true, ask{op: opSubscribe, subscriber: s, start: &start})
}

// UnsubscribeTopic is the reverse of SubscribeTopic, as Unsubscribe is of
// Subscribe.
func (ks *Keyspace) UnsubscribeTopic(ctx context.Context, topic string, s Subscriber) error {
	if err := CheckName(topic); err != nil {
		return err
	}
	return exceptAbsent(ks.topics.ask(ctx, topic, false, ask{op: opUnsubscribe, subscriber: s}))
}

func exceptAbsent(err error) error {
	if errors.Is(err, errAbsent) {
		return nil
	}
	return err
}
