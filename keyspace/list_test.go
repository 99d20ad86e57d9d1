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
		q.Reverse = round%2 == 1
		for more := true; more; more = q.After != "" {
			page, err := ks.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				names = append(names, e.Key)
			}
			q.After = page.Next
		}
		if q.Reverse {
			slices.Reverse(names)
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
		{After: "a//", Levels: true}, {After: "+/", Levels: true},
	} {
		q.Limit = 1
		if _, err := ks.List(t.Context(), q); !errors.Is(err, keyspace.ErrInvalidName) {
			t.Errorf("List %+v: %v, want ErrInvalidName", q, err)
		}
	}
	for _, q := range []keyspace.Query{{Prefix: "a/"}, {Prefix: "a"}, {Prefix: "a/b"}, {Prefix: "a/b", Pattern: "a/#"}, {Prefix: "a/b", Pattern: "a/b"}} {
		q.Limit = 1
		if page, err := ks.List(t.Context(), q); err != nil || page.Next != "" || len(page.Entries) != 1 {
			t.Errorf("List %+v: %v, %v", q, page, err)
		}
	}
	for _, q := range []keyspace.Query{{Prefix: "a/b/"}, {Prefix: "b"}, {Prefix: "a", Pattern: "b/#"}, {After: "a/b"}, {After: "z"}, {Prefix: "a/.."}} {
		q.Limit = 1
		if page, err := ks.List(t.Context(), q); err != nil || page.Next != "" || len(page.Entries) != 0 {
			t.Errorf("List %+v: %v, %v", q, page, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 1000 {
		mustSet(t, ks, fmt.Sprint(i), "1")
	}
	if _, err := ks.List(ended, keyspace.Query{Limit: 1, Pattern: "+/none"}); !errors.Is(err, context.Canceled) {
		t.Errorf("List after its context has ended: %v, want the context's error", err)
	}
}

// A level with very many keys is counted up to a bound, and then skipped. The pages stay
// complete in both directions.
func TestALevelIsCountedUpToABound(t *testing.T) {
	ks := open(t, keyspace.Options{})
	sizes := map[string]int{"a/": 3, "b/": 10_000, "c/": 10_001, "d/": 12_345}
	for prefix, n := range sizes {
		for i := range n {
			mustSet(t, ks, fmt.Sprintf("%s%d/x", prefix, i), "1")
		}
		mustSet(t, ks, strings.TrimSuffix(prefix, "/"), "1")
	}
	for _, reverse := range []bool{false, true} {
		for limit := 1; limit < 10; limit++ {
			q := keyspace.Query{Limit: limit, Levels: true, Reverse: reverse}
			var order []string
			for more := true; more; more = q.After != "" {
				page, err := ks.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				var on []string
				for _, e := range page.Entries {
					on = append(on, e.Key)
				}
				for _, l := range page.Levels {
					on = append(on, l.Prefix)
					if n := sizes[l.Prefix]; l.Keys != min(n, 10_000) || l.More != (n > 10_000) {
						t.Errorf("level %+v, want %d keys", l, n)
					}
				}
				slices.Sort(on)
				if reverse {
					slices.Reverse(on)
				}
				order = append(order, on...)
				q.After = page.Next
			}
			if reverse {
				slices.Reverse(order)
			}
			if want := []string{"a", "a/", "b", "b/", "c", "c/", "d", "d/"}; !slices.Equal(order, want) {
				t.Fatalf("limit %d, reverse %v: %q, want %q", limit, reverse, order, want)
			}
		}
	}
}
