package keyspace

import (
	"hash/maphash"
	"sync"
	"time"
)

// feedShards is the number of parts that a feed is split into, so that the actors of
// different keys seldom wait for the same lock.
const feedShards = 64

// A feed is the [Feed] of a keyspace. It keeps the records that wait for the actors of their
// keys. They are not in the mailboxes, because a mailbox may be full, or its actor may wait
// for the store, and the feed must not wait.
type feed struct {
	keyspace *Keyspace
	seed     maphash.Seed
	shards   [feedShards]feedShard
}

type feedShard struct {
	mu      sync.Mutex
	waiting map[string][]*run // by key, the oldest first

	// positions has the keys whose newest record is not the write that made their state:
	// a touch, a record that means nothing to this keyspace, or none. A key that is not in
	// the table of records is not here.
	positions map[string]uint64

	closed bool // no record waits any more
}

func newFeed(ks *Keyspace) *feed {
	f := &feed{keyspace: ks, seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].waiting, f.shards[i].positions = map[string][]*run{}, map[string]uint64{}
	}
	return f
}

func (f *feed) shard(key string) *feedShard {
	return &f.shards[maphash.String(f.seed, key)%feedShards]
}

// Apply hands the records to the actor of their key.
func (f *feed) Apply(records []Record) {
	r := runPool.Get().(*run)
	r.writes = append(r.writes, records...)
	for i := range r.writes {
		r.writes[i].Expires = onThisClock(r.writes[i].Expires)
	}
	r.expires = r.writes[len(r.writes)-1].Expires
	if f.put(records[0].Key, r) {
		f.wake(records[0].Key)
	}
}

// onThisClock returns a time that another machine has set. Unlike monotonic, it is right if
// the clock of this machine was set since the start.
func onThisClock(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	now := time.Now()
	return now.Add(t.Round(0).Sub(now.Round(0)))
}

// put makes a run wait for the actor of a key. It reports whether the actor must be woken.
func (f *feed) put(name string, r *run) bool {
	s := f.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	f.keyspace.progress.add(r)
	r.inProgress = true
	waiting := s.waiting[name]
	s.waiting[name] = append(waiting, r)
	return len(waiting) == 0
}

// close drops the records that wait. It is called when no actor runs any more, so that
// nothing is in flight for ever (State.Snapshot).
func (f *feed) close() {
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		for _, waiting := range s.waiting {
			for _, r := range waiting {
				f.keyspace.progress.remove(r, 0)
			}
		}
		clear(s.waiting)
		s.closed = true
		s.mu.Unlock()
	}
}

// followRequest asks an actor to apply the waiting records. All actors share it, because it
// has no answer.
var followRequest = &request{task: task{op: opFollow}}

// wake asks the actor of a key to apply the records that wait. If the mailbox is full, the
// actor does so without being asked.
func (f *feed) wake(name string) { f.keyspace.keys.tell(name, true, followRequest) }

// rewake wakes the successor of an actor that panicked, if records wait for the key.
func (f *feed) rewake(name string) {
	s := f.shard(name)
	s.mu.Lock()
	n := len(s.waiting[name])
	s.mu.Unlock()
	if n > 0 {
		f.wake(name)
	}
}

// next removes and returns the oldest records that wait for a key, nil if there are none.
func (f *feed) next(name string) *run {
	s := f.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting[name]
	if len(waiting) == 0 {
		return nil
	}
	r := waiting[0]
	if len(waiting) == 1 {
		delete(s.waiting, name)
	} else {
		waiting[0] = nil
		s.waiting[name] = waiting[1:]
	}
	return r
}

// Advance raises the revision.
func (f *feed) Advance(version uint64) { f.keyspace.progress.advance(version) }

// Repair asks the key's actor to commit its state again. If the mailbox is full, a write of the
// key follows, which does the same.
func (f *feed) Repair(name string) {
	f.keyspace.keys.tell(name, false, &request{task: task{op: opTouch}})
}

// position returns the position of the newest record of a key that was applied.
func (f *feed) position(k *key) uint64 {
	s := f.shard(k.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.positions[k.name]; ok {
		return p
	}
	return k.load().version
}

// setPosition notes the position of a key's newest record, which did not make its state.
func (f *feed) setPosition(name string, position uint64) {
	s := f.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.positions[name] = position
}

// applied notes that the newest record of a key was applied.
func (f *feed) applied(w *Record) {
	if w.Position != w.Version { // a touch
		f.setPosition(w.Key, w.Position)
	} else {
		f.forget(w.Key)
	}
}

// forget forgets the position of a key that has the version of its state as its position,
// or leaves the table.
func (f *feed) forget(name string) {
	s := f.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.positions) > 0 {
		delete(s.positions, name)
	}
}
