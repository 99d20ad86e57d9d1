package keyspace

import (
	"context"
	"time"
)

// subscribePattern begins the subscription of a pattern. Then it passes the values
// of the keys that match to start.Each, if the start asks for them.
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
	subscribedAt := ks.patterns.add(pattern, s, nil)

	// From here on, writes are delivered to s. A write that was delivered before
	// has its key in the index, or a tombstone.
	var deleted []tombstone
	reset := start.Resume && start.Since > ks.progress.highestKnown()
	if start.Resume && !reset {
		var complete bool
		deleted, complete = ks.tombstones.after(start.Since)
		reset = !complete
	}
	start.normalize(reset)
	if err := ks.catchUp(ctx, pattern, subscribedAt, &start, deleted); err != nil {
		return err
	}
	mark(reset)
	return nil
}

// catchUp asks the actors of the keys that match the pattern to pass their values
// to start.Each, and then the actors of the deleted keys that match.
func (ks *Keyspace) catchUp(ctx context.Context, pattern string, subscribedAt uint64, start *Start, deleted []tombstone) error {
	var err error
	ask := func(name string, deleted *tombstone) (ok bool) {
		if start.Throttle != nil {
			if err = start.Throttle(); err != nil {
				return false
			}
		}
		t := task{op: opCatchUp, start: start, subscribedAt: subscribedAt, deleted: deleted}
		err = ignoreAbsent(ks.keys.call(ctx, name, deleted != nil, t))
		return err == nil
	}
	for k := range ks.matching(pattern) {
		if s := k.load(); s.value == nil || s.version <= start.Since {
			continue // a write from now on is delivered
		}
		if !ask(k.name, nil) {
			return err
		}
	}
	for i := range deleted {
		if d := &deleted[i]; Matches(pattern, d.name) && !ask(d.name, d) {
			return err
		}
	}
	return nil
}

// matching yields the keys that match a pattern, sorted by name.
func (ks *Keyspace) matching(pattern string) func(yield func(*key) bool) {
	return func(yield func(*key) bool) {
		ks.index.walk("", literalPrefix(pattern), func(k *key) bool {
			return !Matches(pattern, k.name) || yield(k)
		})
	}
}

// startSubscription passes the key's value to a new subscriber of the key, if the
// start asks for it, and makes the mark.
func (k *key) startSubscription(start *Start) {
	var m Mark
	// The tombstone is looked up first. If it was forgotten before that,
	// complete, which is called afterwards, reports it.
	deleted, isDeleted := k.keyspace.tombstones.find(k.name)
	m.Reset = start.Resume &&
		(start.Since > k.keyspace.progress.highestKnown() || !k.keyspace.tombstones.complete(start.Since))
	start.normalize(m.Reset)
	switch s := k.load(); {
	case s.value != nil && (start.Snapshot || start.Resume):
		start.pass(k.name, s.value, s.version)
	case s.value == nil && start.Resume && isDeleted:
		start.pass(k.name, nil, deleted.version)
	}
	if start.Mark != nil {
		m.Revision = k.keyspace.progress.revision()
		start.Mark(m)
	}
}

// catchUp passes the key's value to a new subscriber of a pattern. subscribedAt is
// the clock of the subscription: the subscriber has received every update that was
// delivered at that clock or later.
//
// deleted, if it is not nil, is the tombstone that led to the key. The key may have
// been made and deleted again since, and then has another tombstone. The tombstone
// may also have been forgotten, because other keys were deleted since.
func (k *key) catchUp(start *Start, subscribedAt uint64, deleted *tombstone) {
	if newest, ok := k.keyspace.tombstones.find(k.name); ok && deleted != nil {
		deleted = &newest
	}
	switch s := k.load(); {
	case s.value == nil && deleted != nil && s.version <= deleted.version && deleted.deliveredAt < subscribedAt:
		start.pass(k.name, nil, deleted.version)
	case s.value != nil && (k.match == nil || k.match.deliveredAt < subscribedAt):
		start.pass(k.name, s.value, s.version)
	}
}

// pass passes a key's value to Each, if it is newer than Since.
func (s *Start) pass(name string, value []byte, version uint64) {
	if version > s.Since {
		s.Each(&Update{Target: Key(name), Value: value, Version: version, At: time.Now()})
	}
}
