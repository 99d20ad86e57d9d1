package keyspace

import (
	"context"
	"iter"
	"slices"
	"time"
)

// subscribePattern begins the subscription of a pattern. Then it passes the values
// of the keys that match to start.Each, if the start asks for them.
func (ks *Keyspace) subscribePattern(ctx context.Context, pattern string, s Subscriber, start Start) error {
	if ks.keys.closed.Load() {
		return ErrClosed
	}
	if !start.Snapshot && !start.Resume {
		ks.patterns.add(pattern, s, func() { start.mark(ks.mark(false)) })
		return nil
	}
	subscribedAt := ks.patterns.add(pattern, s, nil)

	// From here on, writes are delivered to s. A write that was delivered before
	// has its key in the index, or a tombstone.
	var deleted []tombstone
	reset := start.Resume && !ks.promised(&start)
	if start.Resume && !reset {
		var complete bool
		deleted, complete = ks.tombstones.after(start.Since)
		reset = !complete
	}
	start.normalize(reset)
	if err := ks.catchUp(ctx, pattern, subscribedAt, &start, deleted); err != nil {
		return err
	}
	start.mark(ks.mark(reset))
	return nil
}

// mark returns a mark with the revision of this moment.
func (ks *Keyspace) mark(reset bool) Mark {
	return Mark{Epoch: ks.epoch, Revision: ks.progress.revision(), Reset: reset}
}

// promised reports whether this keyspace may have promised the revision that a start
// resumes from.
func (ks *Keyspace) promised(s *Start) bool {
	return (s.Epoch == "" || s.Epoch == ks.epoch) && s.Since <= ks.progress.highestKnown()
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
	for r := range ks.snapshotKeys(pattern, start) {
		if s := r.load(); s.value == nil || s.version <= start.Since {
			continue // a write from now on is delivered
		}
		if !ask(r.name, nil) {
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

// snapshotKeys yields the keys that match a pattern, sorted by name. It yields only the
// last ones if the start says so.
func (ks *Keyspace) snapshotKeys(pattern string, start *Start) iter.Seq[*record] {
	walk := walk{prefix: literalPrefix(pattern)}
	if start.Last == 0 || start.Resume {
		return func(yield func(*record) bool) {
			ks.index.walk(walk, func(r *record) bool { return !Matches(pattern, r.name) || yield(r) })
		}
	}
	walk.reverse = true
	var last []*record
	ks.index.walk(walk, func(r *record) bool {
		if Matches(pattern, r.name) {
			last = append(last, r)
		}
		return len(last) < start.Last
	})
	slices.Reverse(last)
	return slices.Values(last)
}

// startSubscription passes the key's value to a new subscriber of the key, if the
// start asks for it, and makes the mark.
func (k *key) startSubscription(start *Start) {
	// The tombstone is looked up first. If it was forgotten before that,
	// complete, which is called afterwards, reports it.
	deleted, isDeleted := k.keyspace.tombstones.find(k.name)
	reset := start.Resume && (!k.keyspace.promised(start) || !k.keyspace.tombstones.complete(start.Since))
	start.normalize(reset)
	switch s := k.load(); {
	case s.value != nil && (start.Snapshot || start.Resume):
		start.pass(k.name, s)
	case s.value == nil && start.Resume && isDeleted:
		start.pass(k.name, deleted.state())
	}
	start.mark(k.keyspace.mark(reset))
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
		start.pass(k.name, deleted.state())
	case s.value != nil && (k.match == nil || k.match.deliveredAt < subscribedAt):
		start.pass(k.name, s)
	}
}

// pass passes the state of a key to Each, if it is newer than Since.
func (s *Start) pass(name string, now state) {
	if now.version > s.Since {
		s.Each(&Update{Target: Key(name), Value: now.value, Version: now.version, Written: now.written, At: time.Now()})
	}
}
