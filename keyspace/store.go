package keyspace

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// A Store makes writes durable and gives them their versions. A store may keep the
// state in memory, in a journal, or elsewhere.
type Store interface {
	// Commit makes the writes of one key durable. It sets the Version of each write
	// that is not a Touch, and changes nothing else. Versions rise within the slice,
	// and are above those of all writes that were committed before, to any key. Commit
	// returns when all writes are durable. If it returns the cause of ctx, the writes may
	// take effect nevertheless. If it returns another error, none of them takes effect.
	//
	// Commit may block. Many goroutines call it at the same time, but for each
	// key one at a time. ctx ends when the keyspace is given up. The slice
	// belongs to the caller. The bytes of keys and values never change.
	Commit(ctx context.Context, writes []Record) error

	// Load applies the writes that the store holds to an empty state, and returns
	// their history. It is called once, before the first Commit. It may keep the
	// state until Close. It returns the error of State.Apply if there is one. If Load
	// fails, only Close follows.
	Load(s State) (History, error)

	// Close releases the store's resources. It is called once, after Load and the last
	// Commit have returned, or without Load.
	Close() error
}

// A BriefStore is a Store whose commits may take little time.
type BriefStore interface {
	Store

	// Brief reports whether no Commit is under way, and the next one is likely to return within a
	// fraction of a millisecond. Then the goroutine that wants the write calls Commit, which
	// saves waking another one.
	Brief() bool
}

// A State is the state of a keyspace, as its store sees it.
type State interface {
	// Apply applies a write that was committed. It may be called only during Load.
	// The writes of one key come in the order of their versions, but may come again:
	// a write that is not newer than the key's state changes nothing. A delete makes
	// a tombstone. Apply returns a NameError, or ErrClosed if the keyspace was shut
	// down. It keeps the record's Value, and not its Key.
	Apply(w *Record) error

	// Snapshot yields every key's last write, and every delete that the keyspace
	// remembers, until yield returns false. It returns a version up to which deletes
	// may be missing.
	//
	// The snapshot has every write whose Commit returned before the call of Snapshot,
	// or a newer write of the same key. It lacks the key only if a newer write is
	// committed during Snapshot. It may also have later writes.
	//
	// Snapshot may be called only between Load and Close, and by one goroutine at a
	// time. It waits for the commits that are in progress, so Commit must not wait for
	// Snapshot. Writers do not wait for yield. The record is valid only during yield.
	Snapshot(yield func(w *Record) bool) (forgotten uint64)
}

// A History says which versions a store has given out.
type History struct {
	// Epoch names the history that the versions belong to. A store that keeps its
	// state keeps the epoch, too. "" means that a new history begins.
	Epoch string

	// Last is a version that no earlier write has exceeded and that every later
	// write will exceed.
	Last uint64

	// Forgotten is a version up to which deletes may be missing: Load applied every
	// delete above it. A subscriber that resumes from a revision below it is passed all
	// values.
	Forgotten uint64
}

// ErrInsufficientStorage means that a store has no room left for another value. It goes
// on to commit deletes.
var ErrInsufficientStorage = errors.New("keyspace: insufficient storage")

// A Record is one accepted write of a key, as the store keeps it.
type Record struct {
	Key     string
	Value   []byte    // opaque bytes; nil: the key is deleted
	Expires time.Time // when the key expires; zero: never; a store may keep it in milliseconds, rounded up
	Written int64     // when the value was written, in Unix milliseconds
	Version uint64    // set by the Store

	// Touch says that only Expires is new. Then Value, Written and Version are
	// those of the write that made the value. The Store sets no Version, and need
	// not keep Value and Written. A Touch is committed alone.
	Touch bool

	// Position is the place of a record in the order of a [SharedStore]; other stores
	// ignore it. In a Commit it is that of the key's newest record that the keyspace has
	// applied, or 0. The store then sets it to that of the new record. The position of a
	// write is the version of the last write that was committed with it. A touch has a
	// position of its own, between versions.
	Position uint64
}

// An Entry is a key's value and the version of the write that made it.
type Entry struct {
	Key     string
	Value   []byte // opaque bytes, shared with others; they must not be changed
	Version uint64
	Written int64         // when the value was written, in Unix milliseconds
	TTL     time.Duration // until the key expires, when the entry was read; 0: never
}

// memory is a Store that numbers writes and keeps nothing.
type memory struct {
	last atomic.Uint64
}

// NewMemory returns a Store that keeps nothing. Its first write has the version
// first, or 1 if first is 0, because no write has version 0.
func NewMemory(first uint64) Store {
	m := new(memory)
	m.last.Store(max(first, 1) - 1)
	return m
}

// newClockMemory returns a memory whose versions start at the clock's microseconds.
// So versions rise over a restart if there were fewer than a million writes a
// second. They stay below 2^53, up to which JavaScript counts exactly, until the
// year 2255.
func newClockMemory() Store { return NewMemory(uint64(time.Now().UnixMicro())) }

func (m *memory) Commit(_ context.Context, writes []Record) error {
	if writes[0].Touch { // it is alone
		return nil
	}
	next := m.last.Add(uint64(len(writes))) - uint64(len(writes))
	for i := range writes {
		next++
		writes[i].Version = next
	}
	return nil
}

func (m *memory) Load(State) (History, error) {
	last := m.last.Load()
	return History{Last: last, Forgotten: last}, nil
}

func (m *memory) Close() error { return nil }
