package client

import (
	"context"
	"iter"
	"time"
)

// A Change is a change of a key, or a [Mark] if the watch asked for marks.
type Change[T any] struct {
	Key     string
	Value   T // the zero value if Deleted
	Version uint64
	At      time.Time // of the write, by the server's clock; zero if it is not known
	Deleted bool      // the key was deleted, or it has expired

	// Snapshot says that the change is part of a state that is not complete yet: the one
	// at the beginning, or the changes that it has missed while it was not connected.
	Snapshot bool

	Mark Mark // not 0: this is a mark and not a change of a key
}

// A Mark says whether the changes up to now add up to the current state.
type Mark int

const (
	NoMark Mark = iota
	Synced      // the state is complete and current
	Stale       // the state may be old: the connection is lost or doubtful, or the server is behind
)

// A WatchOption configures a watch.
type WatchOption func(*watchOptions)

type watchOptions struct{ marks bool }

// WithMarks makes a watch yield marks, too: [Synced] after the snapshot, [Stale] when the
// state may be old, and [Synced] again when it is current.
func WithMarks() WatchOption { return func(o *watchOptions) { o.marks = true } }

// Watch yields the current value of each key that matches a pattern, and then each change.
// A key is a pattern, too. The watch begins with the loop and ends with it.
//
// A lost connection does not end the loop: the client connects again, and the loop gets
// the changes that it has missed, deletes included. The versions of a key rise. A consumer
// that is slower than the changes gets the newest change of each key; otherwise it gets
// each one.
//
// The loop ends with its first error: ctx has ended, the client is closed, the server
// refuses the pattern, or a value does not parse as T ([ValueError], with the key and the
// value). Use json.RawMessage to take every value as it is.
func Watch[T any](ctx context.Context, c *Client, pattern string, opts ...WatchOption) iter.Seq2[Change[T], error] {
	return func(yield func(Change[T], error) bool) {
		var o watchOptions
		for _, set := range opts {
			set(&o)
		}
		q := newQueue()
		s, err := c.subscribe(selector{name: pattern}, q)
		if err != nil {
			yield(Change[T]{}, err)
			return
		}
		defer c.unsubscribe(s, q)
		for {
			next, err := q.next(ctx)
			if err == nil && next.entry == nil && !o.marks {
				continue
			}
			var change Change[T]
			if err == nil {
				change, err = decodeChange[T](next)
			}
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

func decodeChange[T any](c change) (Change[T], error) {
	if c.entry == nil {
		if c.stale {
			return Change[T]{Mark: Stale}, nil
		}
		return Change[T]{Mark: Synced}, nil
	}
	result := Change[T]{
		Key: c.key, Version: c.entry.version, At: timeOf(c.entry.at), Deleted: c.entry.deleted, Snapshot: c.snapshot,
	}
	if result.Deleted {
		return result, nil
	}
	value, err := decodeValue[T](c.key, c.entry.value)
	if err != nil {
		return Change[T]{}, err
	}
	result.Value = value
	return result, nil
}
