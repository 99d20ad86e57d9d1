package client

import (
	"context"
	"iter"
	"sync"
)

// A View is a copy of the keys that match a pattern, which follows the server. It parses a
// value when the value is read for the first time. Any number of goroutines may use it.
type View[T any] struct {
	c            *Client
	subscription *subscription
	changes      chan struct{}
	complete     chan struct{} // closed when the first snapshot is complete, or nothing more comes
	stop         func() bool   // no longer closes the view at the end of its context

	mu      sync.Mutex
	dirty   map[string]*entry // not parsed yet
	entries map[string]Entry[T]
	invalid map[string]error // by key
	synced  bool
	stale   bool
	err     error // not nil: nothing more comes
}

// NewView returns a view of a pattern, which may be a key. It follows the server until ctx
// ends or [View.Close] is called. Views and watches of the same pattern share one
// subscription. Call [View.Ready] to wait for the first state.
func NewView[T any](ctx context.Context, c *Client, pattern string) *View[T] {
	v := &View[T]{
		c: c, changes: make(chan struct{}, 1), complete: make(chan struct{}), stale: true,
		dirty: make(map[string]*entry), entries: make(map[string]Entry[T]), invalid: make(map[string]error),
	}
	s, err := c.subscribe(selector{name: pattern}, v)
	if err != nil {
		v.ended(err)
		return v
	}
	v.subscription = s
	v.stop = context.AfterFunc(ctx, func() { v.leave(context.Cause(ctx)) })
	return v
}

// Ready waits until the view has the state of the server for the first time. If the server
// says that it is behind others, that state is stale.
func (v *View[T]) Ready(ctx context.Context) error {
	select {
	case <-v.complete:
	case <-ctx.Done():
		return ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.synced {
		return nil
	}
	return v.err
}

// Get returns the entry of a key. It returns false if there is no such key, or if the value
// does not parse as T.
func (v *View[T]) Get(key string) (Entry[T], bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parseLocked(key)
	e, ok := v.entries[key]
	return e, ok
}

// All yields the entries at the time of the call, in no order. It leaves out values that do
// not parse as T.
func (v *View[T]) All() iter.Seq2[string, Entry[T]] {
	return func(yield func(string, Entry[T]) bool) {
		for key, e := range v.copy() {
			if !yield(key, e) {
				return
			}
		}
	}
}

func (v *View[T]) copy() map[string]Entry[T] {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parseAllLocked()
	all := make(map[string]Entry[T], len(v.entries))
	for key, e := range v.entries {
		all[key] = e
	}
	return all
}

// Changed returns a channel that gets an element after a change, and when [View.Stale] or
// [View.Err] may return something else. Several changes may give one element.
func (v *View[T]) Changed() <-chan struct{} { return v.changes }

// Stale reports whether the view may be older than the server: its first state is not
// complete, the connection is lost or doubtful, or the server says that it is behind.
func (v *View[T]) Stale() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stale
}

// Err returns the error that has ended the view, or a [ValueError] if a value does not parse
// as T, or nil.
func (v *View[T]) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parseAllLocked()
	if v.err != nil {
		return v.err
	}
	for _, err := range v.invalid {
		return err
	}
	return nil
}

// Close ends the view. It keeps its last state.
func (v *View[T]) Close() {
	if v.stop != nil {
		v.stop()
	}
	v.leave(ErrClosed)
}

func (v *View[T]) leave(cause error) {
	if v.subscription != nil {
		v.c.unsubscribe(v.subscription, v)
	}
	v.ended(cause)
}

func (v *View[T]) parseAllLocked() {
	for key := range v.dirty {
		v.parseLocked(key)
	}
}

func (v *View[T]) parseLocked(key string) {
	e := v.dirty[key]
	if e == nil {
		return
	}
	delete(v.dirty, key)
	delete(v.entries, key)
	delete(v.invalid, key)
	if e.deleted {
		return
	}
	value, err := decodeValue[T](key, e.value)
	if err != nil {
		v.invalid[key] = err
		v.c.options.logger.Warn("rtdb: a view leaves out a value", "error", err)
		return
	}
	v.entries[key] = Entry[T]{Key: key, Value: value, Version: e.version, At: timeOf(e.at)}
}

// changed implements sink.
func (v *View[T]) changed(key string, e *entry, _ bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, parsed := v.entries[key]
	if e.deleted && !parsed && v.invalid[key] == nil {
		delete(v.dirty, key)
	} else {
		v.dirty[key] = e
	}
	v.wakeLocked()
}

// marked implements sink.
func (v *View[T]) marked(stale, live bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stale = stale
	if live && !v.synced && v.err == nil {
		v.synced = true
		close(v.complete)
	}
	v.wakeLocked()
}

// received implements sink.
func (v *View[T]) received(string, *message) {}

// ended implements sink.
func (v *View[T]) ended(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return
	}
	v.err, v.stale = err, true
	if !v.synced {
		close(v.complete)
	}
	v.wakeLocked()
}

func (v *View[T]) wakeLocked() {
	select {
	case v.changes <- struct{}{}:
	default:
	}
}
