package client

import (
	"encoding/json"
	"iter"
)

// An entry is the newest value of a key.
type entry struct {
	value   json.RawMessage
	version uint64
	at      int64
	deleted bool
}

// A state has the known values of a subscription's keys. The subscription locks it.
//
// While the server sends a whole snapshot again, or the changes since a revision, the
// updates are staged: only the reply says which of the two it was. So the state changes in
// one step.
type state struct {
	entries  map[string]*entry // a deleted one stays until the revision is past it
	epoch    string
	revision uint64 // of the last reply or pong; not the highest version

	began    bool              // a snapshot has begun, and is not complete
	since    bool              // the request has a revision to resume from
	staged   map[string]*entry // nil: updates go to entries at once
	arrivals []string          // the keys of staged, in the order in which they came
}

func newState() state { return state{entries: make(map[string]*entry)} }

// all returns the keys that exist.
func (s *state) all() iter.Seq2[string, *entry] {
	return func(yield func(string, *entry) bool) {
		for key, e := range s.entries {
			if !e.deleted && !yield(key, e) {
				return
			}
		}
	}
}

// resume completes a subscribe request. known says that the state was complete once.
func (s *state) resume(f fields, known bool) fields {
	s.interrupt()
	s.since = known
	if known || s.began { // else there is nothing to compare with
		s.staged = make(map[string]*entry)
	}
	s.began = true
	if known {
		return f.number("since", s.revision).text("epoch", s.epoch)
	}
	return f.raw("snapshot", []byte("true"))
}

// interrupt drops the part of a snapshot that has come: the rest will not come.
func (s *state) interrupt() { s.staged, s.arrivals = nil, nil }

// update takes an update. It drops one that is older than the known value.
func (s *state) update(key string, m *message, live bool, tell func(string, *entry, bool)) {
	e := &entry{value: m.Value, version: m.Version, at: m.At, deleted: m.Deleted}
	if s.staged == nil || live {
		s.put(key, e, tell)
		return
	}
	before := s.staged[key]
	if before == nil {
		s.arrivals = append(s.arrivals, key)
	}
	if before == nil || before.version < e.version {
		s.staged[key] = e
	}
}

// put stores an entry if it is newer than the known one.
func (s *state) put(key string, e *entry, tell func(string, *entry, bool)) {
	before := s.entries[key]
	if before != nil && e.version <= before.version {
		return
	}
	s.replace(key, before, e, tell)
}

func (s *state) replace(key string, before, e *entry, tell func(string, *entry, bool)) {
	s.entries[key] = e
	if existed := before != nil && !before.deleted; existed || !e.deleted {
		tell(key, e, existed)
	}
}

// complete takes the reply that comes after a snapshot.
func (s *state) complete(m *message, tell func(string, *entry, bool)) {
	if s.staged != nil {
		whole := !s.since || m.Reset
		otherEpoch := s.epoch != "" && m.Epoch != s.epoch
		if whole {
			s.removeOthers(m.Revision, tell)
		}
		for _, key := range s.arrivals {
			e, before := s.staged[key], s.entries[key]
			// After a reset an older version may be current, because the server has lost newer ones.
			if before == nil || e.version > before.version || whole && (otherEpoch || e.version < before.version) {
				s.replace(key, before, e, tell)
			}
		}
		s.interrupt()
	}
	s.epoch, s.revision = m.Epoch, m.Revision
}

// removeOthers deletes the keys that did not come again, and forgets earlier deletes.
func (s *state) removeOthers(revision uint64, tell func(string, *entry, bool)) {
	for key, e := range s.entries {
		if s.staged[key] != nil {
			continue
		}
		delete(s.entries, key)
		if !e.deleted {
			tell(key, &entry{version: max(revision, e.version), deleted: true}, true)
		}
	}
}

// advance moves the revision on, and forgets the deletes that it is past: nothing older
// comes any more.
func (s *state) advance(epoch string, revision uint64) {
	if epoch != s.epoch || revision <= s.revision {
		return
	}
	s.revision = revision
	for key, e := range s.entries {
		if e.deleted && e.version <= revision {
			delete(s.entries, key)
		}
	}
}
