package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
)

// A recorder is a Subscriber that keeps the versions that it receives of each key, and
// the value of each key after them.
type recorder struct {
	mu       sync.Mutex
	versions map[string][]uint64
	values   map[string]string
	last     uint64 // Revision of the last update
}

func newRecorder() *recorder {
	return &recorder{versions: map[string][]uint64{}, values: map[string]string{}}
}

func (r *recorder) Deliver(u *keyspace.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.versions[u.Target.Name] = append(r.versions[u.Target.Name], u.Version)
	if u.Value == nil {
		delete(r.values, u.Target.Name)
	} else {
		r.values[u.Target.Name] = string(u.Value)
	}
	r.last = max(r.last, u.Revision())
}

// count returns the number of versions that the recorder has received.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sum(r.versions)
}

// A workload writes to keys at random, and remembers every write.
type workload struct {
	ks   *keyspace.Keyspace
	keys []string

	mu      sync.Mutex
	written map[string][]uint64 // versions, in order
}

func newWorkload(ks *keyspace.Keyspace, keys int) *workload {
	w := &workload{ks: ks, written: map[string][]uint64{}}
	for i := range keys {
		w.keys = append(w.keys, fmt.Sprintf("k/%d/%d", i%7, i))
	}
	return w
}

// run writes with several goroutines until the returned function is called.
// Each has keys of its own, so that it knows the order of their writes.
func (w *workload) run(t *testing.T, writers int) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for {
				select {
				case <-done:
					return
				default:
				}
				i := random.IntN(len(w.keys)/writers)*writers + n
				w.write(t, w.keys[i], random.IntN(4) == 0)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (w *workload) write(t *testing.T, key string, remove bool) {
	c := keyspace.Change{Value: []byte("1")}
	if remove {
		c = keyspace.Change{Delete: true}
	} else {
		c.Value = fmt.Append(nil, time.Now().UnixNano())
	}
	e, err := w.ks.Write(context.Background(), key, c)
	if errors.Is(err, keyspace.ErrNotFound) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[key] = append(w.written[key], e.Version)
}

// waitDelivered returns when all writes have been delivered.
func (w *workload) waitDelivered(t *testing.T) {
	t.Helper()
	for _, key := range w.keys {
		if err := w.ks.GetInOrder(t.Context(), key, func(keyspace.Entry) {}); err != nil {
			t.Fatal(err)
		}
	}
}

// check compares the versions that the recorder received of each key with those that
// were written. From the first version on, none may be missing, repeated or out of
// order. A key of which the recorder received nothing must have no value.
func (w *workload) check(t *testing.T, r *recorder) {
	t.Helper()
	w.waitDelivered(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range w.keys {
		written, received := w.written[key], r.versions[key]
		if len(received) > len(written) {
			t.Fatalf("%s: received %d versions of %d", key, len(received), len(written))
		}
		rest := written[len(written)-len(received):]
		for i := range received {
			if received[i] != rest[i] {
				t.Fatalf("%s: received %d, want the last %d of %d", key, received, len(received), written)
			}
		}
	}
	w.compare(t, r.values)
}

func (w *workload) compare(t *testing.T, values map[string]string) {
	t.Helper()
	for _, key := range w.keys {
		e, err := w.ks.Get(key)
		value, ok := values[key]
		if errors.Is(err, keyspace.ErrNotFound) != !ok || ok && string(e.Value) != value {
			t.Fatalf("%s holds %q (%v), and the subscriber has %q (%v)", key, e.Value, err, value, ok)
		}
	}
}

func sum(written map[string][]uint64) (n int) {
	for _, versions := range written {
		n += len(versions)
	}
	return n
}
