package keyspace_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
)

// A delete and a later set in one run leave no tombstone, because the key has a value.
// With a tombstone, a subscriber that resumes would receive the key twice.
func TestADeleteBeforeASetLeavesNoTombstone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate atomic.Pointer[chan struct{}]
		ks := open(t, keyspace.Options{Store: gated(&gate)})
		since := mustSet(t, ks, "k", "1")
		inOneRun(t, ks, &gate, keyspace.Change{Value: []byte("2")}, keyspace.Change{Delete: true}, keyspace.Change{Value: []byte("3")})
		if got, m := resume(t, ks, since, nil); len(got) != 1 || got[0] != `{"key":"k","value":3}` || m.Reset {
			t.Errorf("received %q, %+v; want the value once", got, m)
		}
	})
}

// Deletes whose tombstones are forgotten during a resume are passed to the subscriber,
// because they were remembered when the resume began.
func TestDeletesForgottenDuringAResumeArePassed(t *testing.T) {
	ks := open(t, keyspace.Options{})
	for i := range 3 {
		mustSet(t, ks, fmt.Sprint("a/", i), "1")
	}
	since := ks.Revision()
	for i := range 3 {
		if _, err := ks.Delete(t.Context(), fmt.Sprint("a/", i)); err != nil {
			t.Fatal(err)
		}
	}
	once := false
	got, m := resume(t, ks, since, func() error {
		if !once {
			once = true
			for range keyspace.RememberedDeletes + 1 {
				mustSet(t, ks, "other", "1")
				if _, err := ks.Delete(t.Context(), "other"); err != nil {
					t.Fatal(err)
				}
			}
		}
		return nil
	})
	if len(got) != 3 || m.Reset {
		t.Errorf("received %q, %+v; want three deletes", got, m)
	}
}

// The newest deletes are remembered. A subscriber that resumes from an older revision
// receives everything, and a mark that says so.
func TestTheOldestDeletesAreForgotten(t *testing.T) {
	ks := open(t, keyspace.Options{Store: keyspace.NewMemory(1)})
	mustSet(t, ks, "stays", "1")
	for i := range keyspace.RememberedDeletes + 1 {
		key := fmt.Sprint("gone/", i)
		mustSet(t, ks, key, "1")
		if _, err := ks.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if err := ks.GetInOrder(t.Context(), key, func(keyspace.Entry) {}); err != nil { // it has been delivered
			t.Fatal(err)
		}
	}
	first := uint64(3) // the first delete's version
	resume := func(since uint64) (received int, m keyspace.Mark) {
		t.Helper()
		r := newRecorder()
		err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
			Resume: true, Since: since, Each: func(*keyspace.Update) { received++ }, Mark: func(mark keyspace.Mark) { m = mark },
		})
		if err := errors.Join(err, ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r)); err != nil {
			t.Fatal(err)
		}
		return received, m
	}
	if received, m := resume(first - 1); received != 1 || !m.Reset {
		t.Errorf("since before the forgotten delete: received %d, %+v; want the one key and a reset", received, m)
	}
	if received, m := resume(first); received != keyspace.RememberedDeletes || m.Reset {
		t.Errorf("since that delete: received %d, %+v; want the others", received, m)
	}
	var m keyspace.Mark
	r := newRecorder()
	start := keyspace.Start{Resume: true, Since: first - 1, Each: r.Deliver, Mark: func(mark keyspace.Mark) { m = mark }}
	if err := ks.Subscribe(t.Context(), keyspace.Key("stays"), r, start); err != nil || !m.Reset || len(r.versions) != 1 {
		t.Errorf("a key, since before that delete: %v, %+v, received %v", err, m, r.versions)
	}
}
