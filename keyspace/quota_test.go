package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"rtdb/keyspace"
)

// Concurrent writers cannot make more keys than the limit. Existing keys can still be
// written. A key that was deleted, or that the store refused, gives its place back.
func TestMaxKeys(t *testing.T) {
	const limit = 20
	var broken atomic.Bool
	failed := errors.New("not this time")
	ks := open(t, keyspace.Options{MaxKeys: limit, Store: &faultyStore{
		Store: keyspace.NewMemory(1),
		commit: func(context.Context, []keyspace.Record) error {
			if broken.Load() {
				return failed
			}
			return nil
		},
	}})
	ctx := t.Context()
	name := func(i int) string { return fmt.Sprint("k", i) }
	var mu sync.Mutex
	made, refused := 0, 0
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 100 {
				_, err := ks.Set(ctx, name(w*100+i), []byte("1"))
				mu.Lock()
				switch {
				case err == nil:
					made++
				case errors.Is(err, keyspace.ErrTooManyKeys):
					refused++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	if made != limit || refused != 800-limit || ks.Keys() != limit {
		t.Fatalf("made %d keys, refused %d, have %d; want %d made", made, refused, ks.Keys(), limit)
	}
	list, err := ks.List(ctx, keyspace.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	old := list.Entries[0].Key
	write := func(key string, c keyspace.Change, want error) {
		t.Helper()
		if _, err := ks.Write(ctx, key, c); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", key, err, want)
		}
	}
	merge := func([]byte) ([]byte, error) { return []byte("2"), nil }
	write(old, keyspace.Change{Value: []byte("2")}, nil)
	write(old, keyspace.Change{Merge: merge}, nil)
	write("new", keyspace.Change{Merge: merge}, keyspace.ErrTooManyKeys)
	write(old, keyspace.Change{Delete: true}, nil)
	broken.Store(true)
	write("new", keyspace.Change{Value: []byte("1")}, keyspace.ErrUnavailable)
	broken.Store(false)
	write("new", keyspace.Change{Merge: func([]byte) ([]byte, error) { return nil, failed }}, failed)
	write("new", keyspace.Change{Value: []byte("1")}, nil)
	write("newer", keyspace.Change{Value: []byte("1")}, keyspace.ErrTooManyKeys)
	if ks.Keys() != limit {
		t.Errorf("%d keys, want %d", ks.Keys(), limit)
	}
}
