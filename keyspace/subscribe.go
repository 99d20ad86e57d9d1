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

	// Throttle, if it is not nil, is called by a pattern's subscription before
	// each key that is read. It may block until the subscriber can take more.
	// Its error ends the subscription.
	Throttle func() error

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

// Subscribe delivers every update of the target to s from now on. A second
// subscription of the same target is the same subscription. For a topic only
// start.Mark counts, because a topic holds nothing.
//
// For a pattern with a snapshot, or with something to resume, Subscribe reads one
// key after the other, and returns when it has read all. If it returns an error
// the subscription may have begun, so s must be unsubscribed.
func (ks *Keyspace) Subscribe(ctx context.Context, t Target, s Subscriber, start Start) error {
	if err := t.Check(); err != nil {
		return err
	}
	switch t.Kind {
	case KindPattern:
		return ks.subscribePattern(ctx, t.Name, s, start)
	case KindTopic:
		return ks.topics.call(ctx, t.Name, true, task{op: opSubscribe, subscriber: s, start: &start})
	}
	return ks.keys.call(ctx, t.Name, true, task{op: opSubscribe, subscriber: s, start: &start})
}

// Unsubscribe ends a subscription. It does nothing if s is not subscribed to the
// target. After it has returned nil, s receives nothing more because of this
// target.
func (ks *Keyspace) Unsubscribe(ctx context.Context, t Target, s Subscriber) error {
	if err := t.Check(); err != nil {
		return err
	}
	switch t.Kind {
	case KindPattern:
		ks.patterns.remove(t.Name, s)
		return nil
	case KindTopic:
		return exceptAbsent(ks.topics.call(ctx, t.Name, false, task{op: opUnsubscribe, subscriber: s}))
	}
	return exceptAbsent(ks.keys.call(ctx, t.Name, false, task{op: opUnsubscribe, subscriber: s}))
}

// subscribePattern begins a pattern's subscription, and then passes what the
// matching keys hold to start.Each.
func (ks *Keyspace) subscribePattern(ctx context.Context, pattern string, s Subscriber, start Start) error {
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
		if start.Throttle != nil {
			if err = start.Throttle(); err != nil {
				return false
			}
		}
		t := task{op: opCatchUp, start: start, clock: clock, grave: grave}
		err = exceptAbsent(ks.keys.call(ctx, name, grave != nil, t))
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
	case s.value == nil && grave != nil && s.version <= grave.version && grave.delivered < clock:
		pass(start, k.name, nil, grave.version)
	case s.value != nil && (k.view == nil || k.view.delivered < clock):
		pass(start, k.name, s.value, s.version)
	}
}

// pass passes what a key holds to start.Each, if it is wanted.
func pass(start *Start, name string, value []byte, version uint64) {
	if version > start.Since {
		start.Each(&Update{Target: Key(name), Value: value, Version: version, At: time.Now()})
	}
}

// Revision returns a version up to which all writes are done, that is, seen by
// readers and told to who had subscribed. Later ones may be done, too, while
// one of another key is in flight.
func (ks *Keyspace) Revision() uint64 { return ks.progress.revision() }

// exceptAbsent returns nil for errAbsent: there is nothing to undo.
func exceptAbsent(err error) error {
	if errors.Is(err, errAbsent) {
		return nil
	}
	return err
}
