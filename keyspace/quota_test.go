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

// Past the limit no key is made, whoever asks at the same time, and those that
// there are go on. What is deleted, expires or could not be stored makes room.
func TestMaxKeys(t *testing.T) {
	const most = 20
	var broken atomic.Bool
	failed := errors.New("not this time")
	ks := open(t, keyspace.Options{MaxKeys: most, Store: &faultyStore{
		Store: keyspace.NewMemory(1),
		commit: func(context.Context, []keyspace.Write) error {
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
	if made != most || refused != 800-most || ks.Keys() != most {
		t.Fatalf("%d made and %d refused, %d are there, want %d made", made, refused, ks.Keys(), most)
	}
	list, _, err := ks.List(ctx, keyspace.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	old := list[0].Key
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
	if ks.Keys() != most {
		t.Errorf("%d keys, want %d", ks.Keys(), most)
	}
}
