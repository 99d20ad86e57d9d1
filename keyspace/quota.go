package keyspace

import (
	"errors"
	"sync/atomic"
)

var (
	// ErrTooManyKeys means that Options.MaxKeys keys have a value already.
	ErrTooManyKeys = errors.New("keyspace: too many keys")

	// ErrFull means that Options.Full reported that memory is short: the write
	// would have made a key, or made a value much longer.
	ErrFull = errors.New("keyspace: no memory left")
)

// A quota limits the number of keys that have a value. A write that makes a key
// reserves a place before it is committed, because afterwards it is too late to
// refuse the write.
type quota struct {
	max  int64        // 0: no limit
	full func() bool  // nil: memory is never short
	used atomic.Int64 // keys that have a value, and places that are reserved
}

// reserve reserves a place for one more key, or returns ErrTooManyKeys or ErrFull.
func (q *quota) reserve() error {
	switch n := q.used.Add(1); {
	case q.max > 0 && n > q.max:
		q.used.Add(-1)
		return ErrTooManyKeys
	case q.full != nil && q.full():
		q.used.Add(-1)
		return ErrFull
	}
	return nil
}

// release gives back the place of a key that is gone, or was never made.
func (q *quota) release() { q.used.Add(-1) }

// count counts a key that was made without a reservation. No limit applies.
func (q *quota) count() { q.used.Add(1) }

// freeGrowth is how many bytes longer a value may become even when memory is short,
// so that the state of a device can still be written.
const freeGrowth = 1 << 10

// grow returns ErrFull if memory is short and a value is to become more than
// freeGrowth bytes longer.
func (q *quota) grow(bytes int) error {
	if bytes > freeGrowth && q.full != nil && q.full() {
		return ErrFull
	}
	return nil
}

// Keys returns the number of keys that have a value, and of those that writes in flight
// will make.
func (ks *Keyspace) Keys() int { return int(ks.quota.used.Load()) }
