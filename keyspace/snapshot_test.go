package keyspace_test

import (
	"errors"
	"fmt"
	"testing"

	"rtdb/keyspace"
)

// Snapshots of a pattern, while writers make, change and delete the keys.
func TestSnapshotsRaceWriters(t *testing.T) {
	ks := open(t, keyspace.Options{})
	w := newWorkload(ks, 2000)
	for _, key := range w.keys {
		w.write(t, key, false)
	}
	for round := range 30 {
		stop := w.run(t, 4)
		r := newRecorder()
		pattern := []string{"#", "k/#", "k/3/+"}[round%3]
		marks := 0
		err := ks.Subscribe(t.Context(), keyspace.Pattern(pattern), r, keyspace.Start{
			Snapshot: true, Each: r.Deliver, Mark: func(keyspace.Mark) { marks++ },
		})
		if err != nil || marks != 1 {
			t.Fatalf("Subscribe: %v, %d marks", err, marks)
		}
		stop()
		if pattern == "k/3/+" {
			part := &workload{ks: ks, written: w.written}
			for _, key := range w.keys {
				if keyspace.Matches(pattern, key) {
					part.keys = append(part.keys, key)
				}
			}
			part.check(t, r)
			if len(r.versions) > len(part.keys) {
				t.Fatalf("received %d keys, %d match", len(r.versions), len(part.keys))
			}
		} else {
			w.check(t, r)
		}
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern(pattern), r); err != nil {
			t.Fatal(err)
		}
	}
}

// An error of Throttle ends a snapshot before the next key.
func TestAnErrorOfThrottleEndsASnapshot(t *testing.T) {
	ks := open(t, keyspace.Options{})
	for i := range 10 {
		mustSet(t, ks, fmt.Sprint(i), "1")
	}
	r, full := newRecorder(), errors.New("full")
	asked := 0
	err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
		Snapshot: true, Each: r.Deliver,
		Throttle: func() error {
			if asked++; asked > 3 {
				return full
			}
			return nil
		},
		Mark: func(keyspace.Mark) { t.Error("a snapshot that was cut short has a mark") },
	})
	if !errors.Is(err, full) || len(r.values) != 3 {
		t.Errorf("%v after %d keys, want the error of Throttle after 3", err, len(r.values))
	}
}
