package keyspace

import "sync"

// RememberedDeletes is how many deletes, the newest, a subscriber that resumes
// can be told of.
const RememberedDeletes = 1 << 16

// A tombstone remembers that a key was deleted.
type tombstone struct {
	name      string // "" where another one, or a new value, has taken its place
	version   uint64 // of the delete
	delivered uint64 // the clock of the patterns when the delete was delivered
}

// tombstones are the newest deletes, in a ring.
type tombstones struct {
	mu    sync.Mutex
	ring  []tombstone
	next  int            // the place of the next one, once the ring is full
	named map[string]int // where in the ring the key's is

	newest uint64 // no delete has a higher version
	floor  uint64 // up to which deletes may have been forgotten
}

func (t *tombstones) bury(name string, version, delivered uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(name)
	if t.named == nil {
		t.named = make(map[string]int)
	}
	at := len(t.ring)
	if at < RememberedDeletes {
		t.ring = append(t.ring, tombstone{})
	} else {
		at = t.next
		t.next = (t.next + 1) % len(t.ring)
		if oldest := t.ring[at]; oldest.name != "" {
			delete(t.named, oldest.name)
			t.floor = max(t.floor, oldest.version)
		}
	}
	t.newest = max(t.newest, version)
	t.ring[at] = tombstone{name, version, delivered}
	t.named[name] = at
}

// forget is for a key that has a value again.
func (t *tombstones) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(name)
}

func (t *tombstones) forgetLocked(name string) {
	if at, ok := t.named[name]; ok {
		delete(t.named, name)
		t.ring[at] = tombstone{}
	}
}

func (t *tombstones) find(name string) (tombstone, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.named[name]
	if !ok {
		return tombstone{}, false
	}
	return t.ring[at], true
}

// after returns the tombstones of the keys that were deleted after a version,
// or reports that some of these deletes may have been forgotten.
func (t *tombstones) after(version uint64) (graves []tombstone, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if version < t.floor {
		return nil, false
	}
	if version >= t.newest { // most often, and then there is no need to look
		return nil, true
	}
	for i := range t.ring {
		if t.ring[i].version > version {
			graves = append(graves, t.ring[i])
		}
	}
	return graves, true
}

// lose is for deletes up to a version that could not be buried.
func (t *tombstones) lose(version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.floor = max(t.floor, version)
}

// knows reports whether all deletes after a version are remembered.
func (t *tombstones) knows(version uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return version >= t.floor
}
