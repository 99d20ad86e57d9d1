package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"rtdb/keyspace"
)

// While other keys come and go, each key that has a value all the time is listed once,
// and the pages are sorted.
func TestPagesAreStableWhileWritersRun(t *testing.T) {
	ks := open(t, keyspace.Options{})
	const stay = 3000
	for i := range stay {
		mustSet(t, ks, fmt.Sprintf("k/%05d", i*10), "1")
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 2))
			for {
				select {
				case <-done:
					return
				default:
				}
				key := fmt.Sprintf("k/%05d", random.IntN(stay)*10+1+random.IntN(9))
				mustSet(t, ks, key, "2")
				if _, err := ks.Delete(context.Background(), key); err != nil && !errors.Is(err, keyspace.ErrNotFound) {
					t.Error(err)
				}
				mustSet(t, ks, fmt.Sprintf("k/%05d", random.IntN(stay)*10), "3")
			}
		})
	}
	for round := range 20 {
		q := keyspace.Query{Limit: 1 + round*37, Pattern: []string{"", "#", "k/+"}[round%3]}
		var names []string
		for more := true; more; {
			var entries []keyspace.Entry
			var err error
			if entries, more, err = ks.List(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				names = append(names, e.Key)
				q.After = e.Key
			}
		}
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Fatal("not sorted, or one key twice")
		}
		stayed := slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, "0") })
		if len(stayed) != stay {
			t.Fatalf("%d keys, want the %d that had a value all the time", len(stayed), stay)
		}
	}
	close(done)
	wg.Wait()
}

func TestListChecksItsQuery(t *testing.T) {
	ks := open(t, keyspace.Options{})
	mustSet(t, ks, "a/b", "1")
	for _, q := range []keyspace.Query{
		{Prefix: "/"}, {Prefix: "a//"}, {Prefix: "a/+"}, {Prefix: "a/#"}, {Prefix: "\n"}, {Prefix: "\xff"}, {Prefix: "a/../"},
		{Prefix: strings.Repeat("a", 513)},
		{Pattern: "a/#/b"}, {Pattern: "a+"}, {After: "a/"}, {After: "+"}, {After: "\xff"},
	} {
		q.Limit = 1
		if _, _, err := ks.List(t.Context(), q); !errors.Is(err, keyspace.ErrInvalidName) {
			t.Errorf("List %+v: %v, want ErrInvalidName", q, err)
		}
	}
	for _, q := range []keyspace.Query{{Prefix: "a/"}, {Prefix: "a"}, {Prefix: "a/b"}, {Prefix: "a/b", Pattern: "a/#"}, {Prefix: "a/b", Pattern: "a/b"}} {
		q.Limit = 1
		if entries, more, err := ks.List(t.Context(), q); err != nil || more || len(entries) != 1 {
			t.Errorf("List %+v: %v, %v, %v", q, entries, more, err)
		}
	}
	for _, q := range []keyspace.Query{{Prefix: "a/b/"}, {Prefix: "b"}, {Prefix: "a", Pattern: "b/#"}, {After: "a/b"}, {After: "z"}, {Prefix: "a/.."}} {
		q.Limit = 1
		if entries, more, err := ks.List(t.Context(), q); err != nil || more || len(entries) != 0 {
			t.Errorf("List %+v: %v, %v, %v", q, entries, more, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 1000 {
		mustSet(t, ks, fmt.Sprint(i), "1")
	}
	if _, _, err := ks.List(ended, keyspace.Query{Limit: 1, Pattern: "+/none"}); !errors.Is(err, context.Canceled) {
		t.Errorf("List after its context has ended: %v, want the context's error", err)
	}
}
