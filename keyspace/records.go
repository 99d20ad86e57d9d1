package keyspace

import (
	"hash/maphash"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// recordShards is the number of parts that the table of records is split into, so that
// writers that make or delete keys seldom wait for each other. It is a power of two.
const recordShards = 64

// records is the table of a keyspace's records: those of keys that have a value, and those
// of keys that have an actor. To find a record takes no lock.
//
// It is an open-addressing hash table. Its slots are 11 to 22 bytes a key (sync.Map
// takes 100), and a look-up loads two or three lines of the cache.
type records struct {
	keyspace *Keyspace
	seed     maphash.Seed
	shards   [recordShards]recordShard
}

type recordShard struct {
	slots atomic.Pointer[[]recordSlot] // a power of two of them; nil: none
	mu    sync.Mutex                   // held to change slots
	used  int                          // slots that are not nil
	live  int                          // slots that hold a record of the table
	_     [64 - 32]byte                // the next shard begins in another line of the cache
}

// A recordSlot holds nil, a record, or removed. A reader ends its search at nil.
type recordSlot = atomic.Pointer[record]

// removed takes the place of a record that was removed. No name is empty, so no reader
// searches this record.
var removed = new(record)

func (t *records) init(ks *Keyspace) { t.keyspace, t.seed = ks, maphash.MakeSeed() }

func (t *records) shard(name string) (s *recordShard, hash int) {
	h := maphash.String(t.seed, name)
	return &t.shards[h%recordShards], int(h >> 8)
}

// find returns the record of a name, or nil.
func (t *records) find(name string) *record {
	s, hash := t.shard(name)
	return s.find(name, hash)
}

// findOrAdd returns the record of a name, and makes it if the table lacks it.
func (t *records) findOrAdd(name string) *record {
	s, hash := t.shard(name)
	if r := s.find(name, hash); r != nil {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(name, hash); r != nil {
		return r
	}
	r := t.keyspace.newRecord(strings.Clone(name)) // the name may be part of a larger string
	t.addLocked(s, r, hash)
	return r
}

// remove removes a record that is in the table.
func (t *records) remove(r *record) {
	s, hash := t.shard(r.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := *s.slots.Load()
	for i := hash & (len(slots) - 1); ; i = (i + 1) & (len(slots) - 1) {
		if slots[i].Load() == r {
			slots[i].Store(removed)
			break
		}
	}
	if s.live--; s.live < len(slots)/8 {
		t.rebuildLocked(s)
	}
}

// all returns the records that are in the table during the whole walk, and perhaps others.
func (t *records) all() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for i := range t.shards {
			slots := t.shards[i].slots.Load()
			if slots == nil {
				continue
			}
			for j := range *slots {
				if r := (*slots)[j].Load(); r != nil && r != removed && !yield(r) {
					return
				}
			}
		}
	}
}

func (s *recordShard) find(name string, hash int) *record {
	p := s.slots.Load()
	if p == nil {
		return nil
	}
	slots := *p
	for i := hash & (len(slots) - 1); ; i = (i + 1) & (len(slots) - 1) {
		if r := slots[i].Load(); r == nil || r.name == name {
			return r
		}
	}
}

// addLocked adds a record. A quarter of the slots stays free at least.
func (t *records) addLocked(s *recordShard, r *record, hash int) {
	if p := s.slots.Load(); p == nil || s.used+1 > len(*p)*3/4 {
		t.rebuildLocked(s)
	}
	s.used++
	s.live++
	place(*s.slots.Load(), r, hash)
}

// place puts a record into the first free slot.
func place(slots []recordSlot, r *record, hash int) {
	for i := hash & (len(slots) - 1); ; i = (i + 1) & (len(slots) - 1) {
		if slots[i].Load() == nil {
			slots[i].Store(r)
			return
		}
	}
}

// rebuildLocked moves the records to a table of which they fill at most half, with room for
// one more. A reader goes on in the table that it has begun with.
func (t *records) rebuildLocked(s *recordShard) {
	size := 8
	for size < 2*(s.live+1) {
		size *= 2
	}
	slots := make([]recordSlot, size)
	if p := s.slots.Load(); p != nil {
		for i := range *p {
			if r := (*p)[i].Load(); r != nil && r != removed {
				_, hash := t.shard(r.name)
				place(slots, r, hash)
			}
		}
	}
	s.used = s.live
	s.slots.Store(&slots)
}

// get returns the actor of a key. If the key has a value and no actor, get makes the actor;
// if the key has no value, only if spawn is true.
func (t *records) get(name string, spawn bool) (k *key, ok bool) {
	for {
		r := t.find(name)
		if r == nil {
			if !spawn {
				return nil, false
			}
			r = t.findOrAdd(name)
		}
		switch k := r.actor.Load(); k {
		case gone:
			runtime.Gosched() // the record is about to be removed
		case nil:
			k = t.keyspace.newKey(r)
			if r.actor.CompareAndSwap(nil, k) {
				return k, true
			}
		default:
			return k, true
		}
	}
}

// actors returns the actors of all keys that have one.
func (t *records) actors() iter.Seq[*key] {
	return func(yield func(*key) bool) {
		for r := range t.all() {
			if k := r.actor.Load(); k != nil && k != gone && !yield(k) {
				return
			}
		}
	}
}
