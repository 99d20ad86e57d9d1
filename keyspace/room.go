package keyspace

import (
	"errors"
	"sync/atomic"
)

var (
	// ErrTooManyKeys means that there are Options.MaxKeys already.
	ErrTooManyKeys = errors.New("keyspace: too many keys")

	// ErrFull means that Options.Full says that there is no room for another
	// key, or for a value that is much longer than the one before.
	ErrFull = errors.New("keyspace: no room")
)

// A room counts the keys that have a value. A write that is to make one takes
// its place before it is committed, for afterwards it would be too late to
// refuse it.
type room struct {
	max   int64 // 0: no limit
	full  func() bool
	taken atomic.Int64
}

func (r *room) take() error {
	switch n := r.taken.Add(1); {
	case r.max > 0 && n > r.max:
		r.taken.Add(-1)
		return ErrTooManyKeys
	case r.full != nil && r.full():
		r.taken.Add(-1)
		return ErrFull
	}
	return nil
}

// muchMore is by how many bytes a value may grow also where there is no room: the
// state of a device goes on.
const muchMore = 1 << 10

// grow returns ErrFull where a value would grow by too much.
func (r *room) grow(bytes int) error {
	if bytes > muchMore && r.full != nil && r.full() {
		return ErrFull
	}
	return nil
}

// Keys returns how many keys have a value.
func (ks *Keyspace) Keys() int { return int(ks.room.taken.Load()) }
