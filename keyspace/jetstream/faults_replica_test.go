package jetstream_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// flip changes a byte in the middle of the largest block of a server's copy of the stream.
func flip(t *testing.T, s *natstest.Server) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(s.Dir(), "jetstream", "*", "streams", jetstream.DefaultStream, "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	largest, size := "", int64(0)
	for _, b := range blocks {
		if info, err := os.Stat(b); err == nil && info.Size() > size {
			largest, size = b, info.Size()
		}
	}
	if size == 0 {
		t.Fatalf("%s has no block of the stream: %v", s.Dir(), blocks)
	}
	data, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	data[size/3] ^= 1
	if err := os.WriteFile(largest, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// setMany sets many keys, and returns their number.
func setMany(t *testing.T, n node, part string) (keys int) {
	t.Helper()
	const writers, each = 50, 40
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := n.Set(t.Context(), fmt.Sprintf("%s/%d/%d", part, w, i), make([]byte, 100)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return writers * each
}

// A byte of one replica's files changes while its server is down. Each node that loads the
// state from that server has everything, or says that it is not ready.
func TestAReplicaIsDamaged(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := three(t)
	old := [2]node{start(t, jetstream.Options{URL: c.URL(), Node: "old0"}), start(t, jetstream.Options{URL: c.URL(), Node: "old1"})}
	complete, refused, keys := 0, 0, 0
	for round := range choose(1, 10) {
		keys += setMany(t, old[0], fmt.Sprintf("round%d", round))
		damaged := c.Server(follower(t, c))
		if round%2 == 0 {
			damaged.Terminate()
		} else {
			damaged.Kill()
		}
		flip(t, damaged)
		damaged.Restart()
		for i := range 3 {
			n := start(t, jetstream.Options{URL: damaged.URL(), Node: fmt.Sprintf("new%d", i)})
			if has := n.Keys(); has != keys {
				eventually(t, patience, fmt.Sprintf("a node with %d of %d keys says that it is not ready", has, keys), func() bool { return n.store.Ready() != nil })
				refused++
				continue
			}
			complete++
		}
	}
	for _, n := range old {
		if err := n.store.Ready(); err != nil {
			t.Errorf("an old node: %v", err)
		}
	}
	t.Logf("| a byte of a replica flipped while its server was down | %d nodes loaded all %d keys from it, %d others were not ready |", complete, keys, refused)
}

// Without replicas a changed byte takes messages away. A node that has seen them fails.
func TestTheOnlyCopyIsDamaged(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	var w witness
	n := start(t, jetstream.Options{URL: c.URL(), Node: "old", Observer: w.observer()})
	setMany(t, n, "k")
	c.Server(0).Kill()
	flip(t, c.Server(0))
	began := time.Now()
	c.Server(0).Restart()
	eventually(t, patience, "the failure of the node", func() bool { return w.failed() != nil })
	if err := w.failed(); !strings.Contains(err.Error(), "lost its newest messages") {
		t.Errorf("the failure is %v", err)
	}
	_, err := n.Set(t.Context(), "k", []byte("1"))
	if !errors.Is(err, keyspace.ErrCutOff) {
		t.Errorf("a write of a node that has failed: %v", err)
	}
	t.Logf("| a byte of the only copy flipped while its server was down | the node failed after %.1f s |", time.Since(began).Seconds())
}
