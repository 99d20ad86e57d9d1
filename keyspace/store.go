package keyspace

import (
	"context"
	"sync/atomic"
	"time"
)

// A Store makes writes durable and gives them their versions. A store may keep the
// state in memory, in a journal, or elsewhere.
type Store interface {
	// Commit makes the writes durable. It sets the Version of each write that
	// is not a Touch. Versions rise within the slice, and are above those of all
	// writes that were committed before, to any key. Commit returns when all
	// writes are durable. If it returns an error, none of them took effect.
	//
	// Commit may block. Many goroutines call it at the same time, but for each
	// key one at a time. ctx ends when the keyspace is given up. The slice
	// belongs to the caller. The bytes of keys and values never change.
	Commit(ctx context.Context, writes []Record) error

	// Load yields the state to start from: the last write of each key that has
	// a value, once. It returns the epoch, and a version that no earlier write
	// has exceeded and that every later write will exceed. It is called once,
	// before the first Commit.
	//
	// The epoch names the history that the versions belong to. A store that
	// keeps its state keeps the epoch, too. "" means that a new history begins.
	Load(yield func(Record) error) (epoch string, last uint64, err error)

	// Close releases the store's resources. It is called once, after the last
	// Commit.
	Close() error
}

// A Record is one accepted write of a key, as the store keeps it.
type Record struct {
	Key     string
	Value   []byte    // opaque bytes; nil: the key is deleted
	Expires time.Time // when the key expires; zero: never
	Written int64     // when the value was written, in Unix milliseconds
	Version uint64    // set by the Store

	// Touch says that only Expires is new. Then Value, Written and Version are
	// those of the write that made the value, and the Store keeps them. A Touch
	// is committed alone.
	Touch bool
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

func (m *memory) Load(func(Record) error) (string, uint64, error) { return "", m.last.Load(), nil }

func (m *memory) Close() error { return nil }
