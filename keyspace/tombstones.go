package keyspace

import "sync"

// RememberedDeletes is the number of deletes that the keyspace remembers for
// subscribers that resume. When there are more, it forgets the oldest.
const RememberedDeletes = 1 << 16

// A tombstone remembers that a key was deleted.
type tombstone struct {
	name        string // "": a newer tombstone or a new value has replaced this one
	version     uint64 // of the delete
	written     int64  // when the key was deleted, in Unix milliseconds
	deliveredAt uint64 // the patterns' clock when the delete was delivered
}

// state returns the state of the deleted key.
func (t *tombstone) state() state { return state{version: t.version, written: t.written} }

// tombstones are the newest deletes, in a ring. A key has at most one.
type tombstones struct {
	mu        sync.Mutex
	ring      []tombstone
	next      int            // the position of the next tombstone, once the ring is full
	positions map[string]int // of each key's tombstone in the ring

	newest    uint64 // the highest version of a delete
	forgotten uint64 // deletes up to this version may have been forgotten
}

// add remembers a delete. If the ring is full, the oldest tombstone is forgotten.
func (t *tombstones) add(d tombstone) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(d.name)
	if t.positions == nil {
		t.positions = make(map[string]int)
	}
	i := len(t.ring)
	if i < RememberedDeletes {
		t.ring = append(t.ring, tombstone{})
	} else {
		i = t.next
		t.next = (t.next + 1) % len(t.ring)
		if oldest := t.ring[i]; oldest.name != "" {
			delete(t.positions, oldest.name)
			t.forgotten = max(t.forgotten, oldest.version)
		}
	}
	t.newest = max(t.newest, d.version)
	t.ring[i] = d
	t.positions[d.name] = i
}

// all returns the tombstones, the oldest first, and the version up to which deletes may
// have been forgotten.
func (t *tombstones) all() (deleted []tombstone, forgotten uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	deleted = make([]tombstone, 0, len(t.positions))
	for i := range t.ring {
		if d := t.ring[(t.next+i)%len(t.ring)]; d.name != "" {
			deleted = append(deleted, d)
		}
	}
	return deleted, t.forgotten
}

// remove removes the tombstone of a key that has a value again.
func (t *tombstones) remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(name)
}

func (t *tombstones) removeLocked(name string) {
	if i, ok := t.positions[name]; ok {
		delete(t.positions, name)
		t.ring[i] = tombstone{}
	}
}

// find returns the tombstone of a key, if there is one.
func (t *tombstones) find(name string) (tombstone, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.positions[name]
	if !ok {
		return tombstone{}, false
	}
	return t.ring[i], true
}

// after returns the tombstones of the keys that were deleted after a version. ok is
// false if some of these deletes may have been forgotten.
func (t *tombstones) after(version uint64) (deleted []tombstone, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if version < t.forgotten {
		return nil, false
	}
	if version >= t.newest { // the usual case: no need to search the ring
		return nil, true
	}
	for i := range t.ring {
		if t.ring[i].version > version {
			deleted = append(deleted, t.ring[i])
		}
	}
	return deleted, true
}

// forget says that deletes up to a version may have no tombstone.
func (t *tombstones) forget(version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgotten = max(t.forgotten, version)
}

// complete reports whether all deletes after a version are remembered.
func (t *tombstones) complete(version uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return version >= t.forgotten
}
