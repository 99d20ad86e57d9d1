package jetstream_test

import (
	"fmt"
	"sync"
	"testing"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// Two nodes merge into the same keys at the same time, so that many batches are refused. Each
// merge is made once. The keys that only one node writes are written by batches.
func TestBatches(t *testing.T) {
	t.Parallel()
	const keys, merges = 100, 10
	c := natstest.Start(t, natstest.Options{Servers: 1, Lazy: true})
	nodes := []node{start(t, jetstream.Options{URL: c.URL(), Node: "a"}), start(t, jetstream.Options{URL: c.URL(), Node: "b"})}
	var running sync.WaitGroup
	for i, n := range nodes {
		for k := range keys {
			for _, key := range []string{fmt.Sprint("shared/", k), fmt.Sprintf("own/%d/%d", i, k)} {
				running.Go(func() {
					for range merges {
						_, err := n.Write(t.Context(), key, keyspace.Change{Merge: func(old []byte) ([]byte, error) {
							return append(old[:len(old):len(old)], 'x'), nil
						}})
						if err != nil {
							t.Errorf("merge into %s: %v", key, err)
							return
						}
					}
				})
			}
		}
	}
	running.Wait()
	for i, n := range nodes {
		if err := n.store.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		for k := range keys {
			for key, want := range map[string]int{
				fmt.Sprint("shared/", k): 2 * merges, fmt.Sprintf("own/0/%d", k): merges, fmt.Sprintf("own/1/%d", k): merges,
			} {
				// A read in order waits for the key's actor, which may not have applied the write yet.
				if err := n.GetInOrder(t.Context(), key, func(e keyspace.Entry) {
					if len(e.Value) != want {
						t.Errorf("node %d: %s has %d merges, want %d", i, key, len(e.Value), want)
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
		commits, parcels := n.store.Published()
		t.Logf("node %d: %d proposals were first published in %d parcels", i, commits, parcels)
		if parcels >= commits*3/4 {
			t.Errorf("node %d: %d proposals were published in %d parcels: there were hardly any batches", i, commits, parcels)
		}
		if n.store.Status().Conflicts == 0 {
			t.Errorf("node %d had no conflict", i)
		}
	}
}
