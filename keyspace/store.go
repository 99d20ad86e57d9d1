package keyspace

import (
	"context"
	"sync/atomic"
	"time"
)

// A Store makes writes durable, and gives them their versions. It is the seam
// behind which a keyspace is kept in memory, in a journal, or elsewhere.
type Store interface {
	// Commit sets the Version of each write, rising within the slice and
	// above that of every write committed before to any key, and returns
	// once all are durable. Where it returns an error none of them took
	// effect. It may block, and is called by many goroutines at once, by
	// one at a time for each key; ctx ends when the keyspace is given up.
	// The slice is the caller's; the bytes of keys and values never change.
	Commit(ctx context.Context, writes []Write) error

	// Load yields the state to start from: the last write of each key that
	// has a value, once. It returns a version that no write had exceeded
	// and that every one from now on will. It is called once, before the
	// first Commit.
	Load(yield func(Write) error) (last uint64, err error)

	// Close releases what the store holds. It is called once, after the
	// last Commit.
	Close() error
}

// A Write is one accepted change of a key.
type Write struct {
	Key     string
	Value   []byte    // nil deletes the key
	Expires time.Time // when the key is to be deleted; zero is never
	Version uint64    // set by the Store
}

// An Entry is a key's value and the version of the write that made it.
type Entry struct {
	Key     string
	Value   []byte // JSON, shared with others: not to be changed
	Version uint64
}

// memory is the Store that keeps nothing: it only numbers writes.
type memory struct {
	last atomic.Uint64
}

// NewMemory returns a Store that keeps nothing and gives its first write the
// version first, or 1 where that is 0: 0 is the version of no write.
func NewMemory(first uint64) Store {
	m := new(memory)
	m.last.Store(max(first, 1) - 1)
	return m
}

// newClockMemory starts at the clock's microseconds, so that versions rise
// over a restart as long as fewer than a million writes came a second. They
// stay below 2^53, which JavaScript can count to, until the year 2255.
func newClockMemory() Store { return NewMemory(uint64(time.Now().UnixMicro())) }

func (m *memory) Commit(_ context.Context, writes []Write) error {
	next := m.last.Add(uint64(len(writes))) - uint64(len(writes))
	for i := range writes {
		next++
		writes[i].Version = next
	}
	return nil
}

func (m *memory) Load(func(Write) error) (uint64, error) { return m.last.Load(), nil }

func (m *memory) Close() error { return nil }
