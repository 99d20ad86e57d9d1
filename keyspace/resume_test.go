package keyspace_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"rtdb/keyspace"
)

func resume(t *testing.T, ks *keyspace.Keyspace, since uint64, throttle func() error) (got []string, m keyspace.Mark) {
	t.Helper()
	r := newRecorder()
	err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
		Resume: true, Since: since, Throttle: throttle,
		Each: func(u *keyspace.Update) { got = append(got, string(encode(u))) },
		Mark: func(mark keyspace.Mark) { m = mark },
	})
	if err := errors.Join(err, ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r)); err != nil {
		t.Fatal(err)
	}
	return got, m
}

// A subscriber leaves and resumes again and again under load, each time from the last
// revision that it was promised. In the end it has exactly the values of the keyspace.
// Half of the revisions come from marks, half from updates.
func TestResumingMissesNothing(t *testing.T) {
	ks := open(t, keyspace.Options{})
	w := newWorkload(ks, 500)
	stop := w.run(t, 8)
	values := map[string]string{}
	seen := map[string]uint64{} // the last version of each key
	since, resumed := uint64(0), 0
	for round := range 201 {
		if round == 200 {
			stop()
			w.waitDelivered(t)
		}
		r := newRecorder()
		r.values = values
		var mark keyspace.Mark
		err := ks.Subscribe(t.Context(), keyspace.Pattern("k/#"), r, keyspace.Start{
			Resume: round > 0, Snapshot: true, Since: since, Each: r.Deliver,
			Mark: func(m keyspace.Mark) {
				mark = m
				r.mu.Lock()
				defer r.mu.Unlock()
				r.last = m.Revision
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if mark.Reset {
			t.Fatalf("round %d: reset, with %d as since", round, since)
		}
		if round%3 == 0 && round < 200 { // it stays until it has received something more
			for received := r.count(); r.count() == received; {
				runtime.Gosched()
			}
		}
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern("k/#"), r); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		for key, versions := range r.versions {
			for _, v := range versions {
				if v < seen[key] {
					t.Fatalf("round %d: %s went back from %d to %d", round, key, seen[key], v)
				}
				seen[key] = v
				if v > since {
					resumed++
				}
			}
		}
		if since = mark.Revision; round%2 == 0 {
			since = max(since, r.last)
		}
		r.mu.Unlock()
	}
	w.compare(t, values)
	t.Logf("%d writes; over 200 reconnects the subscriber received %d of them", sum(w.written), resumed)
}

func TestResumeFromEachRevision(t *testing.T) {
	ks := open(t, keyspace.Options{Store: keyspace.NewMemory(100)})
	resume := func(since uint64, pattern bool) (got string) {
		t.Helper()
		r := newRecorder()
		var all []string
		start := keyspace.Start{
			Resume: true, Since: since,
			Each: func(u *keyspace.Update) { all = append(all, string(encode(u))) },
			Mark: func(m keyspace.Mark) { all = append(all, fmt.Sprint(m.Reset)) },
		}
		var err error
		if pattern {
			err = ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, start)
		} else {
			err = ks.Subscribe(t.Context(), keyspace.Key("a"), r, start)
		}
		if err := errors.Join(err, ks.Unsubscribe(t.Context(), keyspace.Key("a"), r), ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r)); err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, " ")
	}
	a1, a2, deleted := `{"key":"a","value":1}`, `{"key":"a","value":2}`, `{"key":"a","value":null,"deleted":true}`
	both := func(since uint64, want string) {
		t.Helper()
		for _, pattern := range []bool{false, true} {
			if got := resume(since, pattern); got != want {
				t.Errorf("since %d, pattern %v: %s, want %s", since, pattern, got, want)
			}
		}
	}
	both(99, "false") // the revision that a new keyspace promises
	both(98, "true")  // from before the keyspace was opened
	both(100, "true") // from the future
	mustSet(t, ks, "a", "1")
	both(99, a1+" false")
	both(100, "false")
	both(98, a1+" true")
	both(101, a1+" true")
	if _, err := ks.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	both(100, deleted+" false")
	both(101, "false")
	both(98, "true")
	mustSet(t, ks, "a", "2") // version 102: the delete is of no interest any more
	both(99, a2+" false")
	both(101, a2+" false")
	both(102, "false")
}
