package keyspace

import (
	"strings"
	"time"
)

// A storeState is the [State] of a keyspace.
type storeState struct{ keyspace *Keyspace }

// Apply applies a write that the store loads.
func (s storeState) Apply(w *Record) error {
	if err := CheckName(w.Key); err != nil {
		return err
	}
	ks := s.keyspace
	if ks.keys.closed.Load() {
		return ErrClosed
	}
	r := ks.records.find(w.Key)
	if r == nil {
		switch t, deleted := ks.tombstones.find(w.Key); {
		case deleted && w.Version <= t.version, w.Touch && ks.shared == nil:
			return nil
		case w.Value == nil:
			s.bury(w)
			return nil
		}
		r = ks.records.findOrAdd(w.Key)
	}
	if ks.shared != nil && w.Touch && w.Version > r.load().version {
		record := *w // the store has forgotten the write that the touch belongs to
		record.Touch = false
		w = &record
	}
	if !ks.apply(r, w, nil) {
		return nil
	}
	if ks.shared != nil {
		ks.feed.applied(w)
	}
	if w.Value != nil || w.Touch {
		s.setExpiry(r, monotonic(w.Expires))
		return nil
	}
	s.setExpiry(r, time.Time{}) // a damaged store may have the time of a delete
	s.bury(w)
	ks.records.remove(r) // it has no actor
	return nil
}

// setExpiry changes when a key expires. A key that never expires needs no actor.
func (s storeState) setExpiry(r *record, expires time.Time) {
	k := r.actor.Load()
	if k == nil {
		if expires.IsZero() {
			return
		}
		k = s.keyspace.newKey(r)
		r.actor.Store(k) // nobody else uses the record yet
	}
	s.keyspace.expiries.set(k, expires)
	if expires.IsZero() {
		r.actor.Store(nil)
	}
}

// monotonic returns a time that does not move when the clock is set, as those of new writes.
func monotonic(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return epoch.Add(afterEpoch(t))
}

// bury makes the tombstone of a delete that is newer than the state. No pattern has a
// subscriber yet.
func (s storeState) bury(w *Record) {
	s.keyspace.tombstones.add(tombstone{name: strings.Clone(w.Key), version: w.Version, written: w.Written})
}

// Snapshot yields the keys in the order of their names, and then the deletes, the oldest
// first.
func (s storeState) Snapshot(yield func(*Record) bool) (forgotten uint64) {
	ks := s.keyspace
	ks.progress.settle() // a write that was committed may not have been applied yet
	var w Record
	more, clock := true, epoch.Add(clockShift()) // expiries are kept as the clock shows them
	ks.index.walk(walk{}, func(r *record) bool {
		if now := r.load(); now.value != nil {
			w = Record{Key: r.name, Value: now.value, Version: now.version, Written: now.written}
			if now.expires != 0 {
				w.Expires = clock.Add(now.expires)
			}
			more = yield(&w)
		}
		return more
	})
	if !more {
		return 0
	}
	// The deletes come last, so that a key that was deleted before the walk came to it is
	// not missing.
	deleted, forgotten := ks.tombstones.all()
	for i := range deleted {
		d := &deleted[i]
		w = Record{Key: d.name, Version: d.version, Written: d.written}
		if !yield(&w) {
			break
		}
	}
	return forgotten
}
