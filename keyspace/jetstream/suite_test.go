package jetstream_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/keyspace/storetest"
)

// streamName returns a name for the stream of a directory of the suite.
func streamName(dir string) string {
	name := []byte(filepath.Base(filepath.Dir(dir)) + filepath.Base(dir))
	for i, c := range name {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			name[i] = '_'
		}
	}
	return string(name)
}

func openStream(tb testing.TB, c *natstest.Cluster, name string) *jetstream.Store {
	s, err := jetstream.Open(jetstream.Options{URL: c.URL(), Stream: name, Node: "n"})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// An alone is a store that is not shared: it knows the position of each key's newest record.
type alone struct {
	store *jetstream.Store

	mu        sync.Mutex
	positions map[string]uint64
}

func (a *alone) Load(s keyspace.State) (keyspace.History, error) {
	h, err := a.store.Load(wholeState{s})
	if err == nil {
		a.store.Follow(a)
	}
	return h, err
}

// A wholeState takes the value of a touched key from the touch, as a keyspace with a shared
// store does.
type wholeState struct{ keyspace.State }

func (s wholeState) Apply(w *keyspace.Record) error {
	whole := *w
	whole.Touch = false
	return s.State.Apply(&whole)
}

func (a *alone) Apply([]keyspace.Record) {}
func (a *alone) Advance(uint64)          {}
func (a *alone) Repair(string)           {}
func (a *alone) Close() error            { return a.store.Close() }

func (a *alone) Commit(ctx context.Context, writes []keyspace.Record) error {
	key := writes[0].Key
	for {
		a.mu.Lock()
		writes[0].Position = a.positions[key]
		a.mu.Unlock()
		err := a.store.Commit(ctx, writes)
		position := writes[0].Position
		var conflict *keyspace.ConflictError
		isConflict := errors.As(err, &conflict)
		if isConflict { // it was written before the store was opened
			position = conflict.Position
		}
		if err == nil || isConflict {
			a.mu.Lock()
			a.positions[key] = position
			a.mu.Unlock()
		}
		if !isConflict {
			return err
		}
	}
}

// The store keeps the contract of every store.
func TestStore(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 1, Lazy: true, Config: "max_payload: 4MB"})
	storetest.Run(t, storetest.Options{Durable: true, Slow: !isLong(), Open: func(tb testing.TB, dir string) keyspace.Store {
		return &alone{store: openStream(tb, c, streamName(dir)), positions: map[string]uint64{}}
	}})
}

// Several keyspaces on one stream keep the contract of a shared store.
func TestSharedStore(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 1, Lazy: true})
	storetest.RunShared(t, storetest.SharedOptions{Open: func(tb testing.TB, name string) keyspace.SharedStore {
		return openStream(tb, c, streamName(name))
	}})
}
