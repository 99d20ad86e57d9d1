package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// An Entry is a key with its value.
type Entry[T any] struct {
	Key       string
	Value     T
	Version   uint64        // 0: there is no such key
	At        time.Time     // when the value was written, by the server's clock; zero if it is not known
	ExpiresIn time.Duration // at the time of the read; 0: it does not expire, or that is not known
}

// ErrNoChange stops an [Update] without a write and without an error.
var ErrNoChange = errors.New("rtdb: no change")

const (
	// updateTries is the number of tries of an update whose key other clients write, too.
	updateTries = 20

	// updateWait is the longest wait after the first try. It doubles up to 64 ms. Without it,
	// 3 of 40 updates at the same time gave up.
	updateWait = time.Millisecond
)

// Get reads a key. It returns false if there is no such key, and a [ValueError] if its
// value does not parse as T. A read that was sent and not answered is sent again after the
// client has connected again.
func Get[T any](ctx context.Context, c *Client, key string) (Entry[T], bool, error) {
	m, err := c.do(ctx, read, newFields("get").text("key", key))
	switch {
	case errors.Is(err, ErrNotFound):
		return Entry[T]{Key: key}, false, nil
	case err != nil:
		return Entry[T]{}, false, fmt.Errorf("get %q: %w", key, err)
	}
	e, err := decodeEntry[T](m)
	return e, err == nil, err
}

func decodeEntry[T any](m *message) (Entry[T], error) {
	value, err := decodeValue[T](m.Key, m.Value)
	if err != nil {
		return Entry[T]{}, err
	}
	return Entry[T]{
		Key: m.Key, Value: value, Version: m.Version, At: timeOf(m.At),
		ExpiresIn: time.Duration(m.Seconds * float64(time.Second)),
	}, nil
}

// Update reads a key, and writes the value that change returns if no other client has
// written the key meanwhile. Otherwise it tries again, 20 times at most, after a short random
// wait. Updates of one client that run at the same time compete as well. change gets an entry
// with version 0 if there is no such key; it may be called several times. If it returns
// [ErrNoChange], Update returns the old entry; after another error, it returns that error. In
// both cases nothing is written.
//
// A write ends the key's time to live, unless opts has a [TTL].
func Update[T any](ctx context.Context, c *Client, key string, change func(old Entry[T]) (T, error), opts ...WriteOption) (Entry[T], error) {
	var err error
	for try := range updateTries {
		if try > 0 && !pause(ctx, rand.N(updateWait<<min(try, 6))) {
			return Entry[T]{}, context.Cause(ctx)
		}
		var old Entry[T]
		if old, _, err = Get[T](ctx, c, key); err != nil {
			return Entry[T]{}, err
		}
		value, stop := change(old)
		switch {
		case errors.Is(stop, ErrNoChange):
			return old, nil
		case stop != nil:
			return old, stop
		}
		var version uint64
		version, err = Set(ctx, c, key, value, append(opts[:len(opts):len(opts)], IfVersion(old.Version))...)
		if err == nil {
			return Entry[T]{Key: key, Value: value, Version: version}, nil
		}
		if !errors.Is(err, ErrVersionMismatch) {
			return Entry[T]{}, err
		}
	}
	return Entry[T]{}, fmt.Errorf("rtdb: other clients wrote the key during each of %d tries: %w", updateTries, err)
}

// pause waits, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
