package keyspace

import "sync/atomic"

// A record is a key at rest: its name, and the state that readers see. The key's actor,
// which changes the state, exists only while it is needed (see key).
type record struct {
	name  string
	state atomic.Pointer[state] // only the key's actor stores it; nil: never written
	actor atomic.Pointer[key]   // nil: the key needs none; gone: the record has left the table
}

// gone takes the place of a record's last actor. A sender that finds it looks the name up
// again.
var gone = new(key)

// load returns the state that readers see. Its value is nil if the key has no value.
func (r *record) load() state {
	if s := r.state.Load(); s != nil {
		return *s
	}
	return state{}
}

// entry returns the key's entry. Its value is nil if the key has no value.
func (r *record) entry() Entry {
	s := r.load()
	return Entry{Key: r.name, Value: s.value, Version: s.version, Written: s.written, TTL: timeToLive(s.expires)}
}

// newRecord returns the record of a key that has no value.
func (ks *Keyspace) newRecord(name string) *record {
	r := &record{name: name}
	if ks.shared != nil { // a write that the feed brings again is not newer than the delete
		if t, ok := ks.tombstones.find(name); ok {
			s := t.state()
			r.state.Store(&s)
		}
	}
	return r
}

// apply makes the state after a committed write visible to readers. A write that is
// not newer than the state changes nothing, so a write may be applied twice or
// late. A touch counts only at the version that it touches. run is nil if the write was
// loaded from the store. apply reports whether the state has changed.
func (ks *Keyspace) apply(r *record, w *Record, run *run) bool {
	now := r.load()
	if w.Touch && w.Version != now.version || !w.Touch && w.Version <= now.version {
		return false
	}
	r.state.Store(now.after(w))
	switch existed, exists := now.value != nil, w.Touch || w.Value != nil; {
	case !existed && exists:
		if run == nil || !run.reserved {
			ks.quota.count()
		} else {
			run.reserved = false // the key keeps the place
		}
		ks.tombstones.remove(r.name)
		ks.index.insert(r)
	case existed && !exists:
		ks.quota.release()
		ks.index.remove(r)
	}
	return true
}
