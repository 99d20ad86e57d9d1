package keyspace_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

func TestUnusedNamesAreRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		ctx := t.Context()
		var in inbox
		wantNames := func(when string, keys, topics int) {
			t.Helper()
			synctest.Wait()
			if k, tp := ks.Names(); k != keys || tp != topics {
				t.Errorf("%s: %d keys and %d topics are there, want %d and %d", when, k, tp, keys, topics)
			}
		}
		_, _ = ks.Get("read")
		_, _ = ks.Delete(ctx, "deleted")
		_ = ks.Unsubscribe(ctx, keyspace.Key("unsubscribed"), &in)
		_ = ks.Publish(ctx, "published", []byte("1"))
		_ = ks.Unsubscribe(ctx, keyspace.Topic("unsubscribed"), &in)
		wantNames("after looking at what is not there", 0, 0)

		mustSet(t, ks, "a", "1")
		if _, err := subscribe(ks, ctx, "a", &in); err != nil {
			t.Fatal(err)
		}
		if err := ks.Subscribe(ctx, keyspace.Topic("t"), &in, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		wantNames("in use", 1, 1)
		if _, err := ks.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		wantNames("deleted, with a subscriber", 1, 1)
		if rev, err := subscribe(ks, ctx, "a", &in); err != nil || rev != 2 {
			t.Errorf("revision %d, %v; want that of the delete, 2", rev, err)
		}
		_ = ks.Unsubscribe(ctx, keyspace.Key("a"), &in)
		_ = ks.Unsubscribe(ctx, keyspace.Topic("t"), &in)
		wantNames("at the end", 0, 0)
	})
}

// A key has an actor only if a subscriber, a pattern or an expiry needs one.
func TestKeysAtRestHaveNoActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		ctx := t.Context()
		var in inbox
		wantActors := func(when string, n int) {
			t.Helper()
			synctest.Wait()
			if got := ks.Actors(); got != n {
				t.Errorf("%s: %d actors, want %d", when, got, n)
			}
		}
		for i := range 100 {
			mustSet(t, ks, fmt.Sprint("k", i), "1")
		}
		wantActors("written", 0)
		if _, err := subscribe(ks, ctx, "k1", &in); err != nil {
			t.Fatal(err)
		}
		wantActors("subscribed", 1)
		_ = ks.Unsubscribe(ctx, keyspace.Key("k1"), &in)
		wantActors("unsubscribed", 0)

		if _, err := ks.Write(ctx, "k2", keyspace.Change{Value: []byte("2"), TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
		wantActors("with a time to live", 1)
		mustSet(t, ks, "k2", "3")
		wantActors("without one again", 0)
		if _, err := ks.Write(ctx, "k2", keyspace.Change{Touch: true, TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
		wantActors("touched", 1)
		time.Sleep(2 * time.Second)
		wantActors("expired", 0)
		if keys, _ := ks.Names(); keys != 99 {
			t.Errorf("%d keys, want 99", keys)
		}

		if err := ks.Subscribe(ctx, keyspace.Pattern("+"), &in, keyspace.Start{Snapshot: true, Each: func(*keyspace.Update) {}}); err != nil {
			t.Fatal(err)
		}
		wantActors("after a snapshot", 0)
		mustSet(t, ks, "k3", "2")
		wantActors("matched by a pattern, and written", 1)
		_ = ks.Unsubscribe(ctx, keyspace.Pattern("+"), &in)
		mustSet(t, ks, "k3", "3")
		wantActors("written without the pattern", 0)
	})
}

// Keys come and go while they are written: no write is lost, and none fails.
func TestWritesRaceRetirement(t *testing.T) {
	ks := open(t, keyspace.Options{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			var in inbox
			for i := range 3000 {
				key := fmt.Sprint("k", i%3)
				var err error
				switch (i + w) % 4 {
				case 0, 1:
					_, err = ks.Set(t.Context(), key, []byte("1"))
				case 2:
					if _, err = ks.Delete(t.Context(), key); errors.Is(err, keyspace.ErrNotFound) {
						err = nil
					}
				case 3:
					if _, err = subscribe(ks, t.Context(), key, &in); err == nil {
						err = ks.Unsubscribe(t.Context(), keyspace.Key(key), &in)
					}
				}
				if err != nil {
					t.Errorf("step %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for k := range 3 {
		_, _ = ks.Delete(t.Context(), fmt.Sprint("k", k))
	}
	if err := ks.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys, topics := ks.Names(); keys != 0 || topics != 0 {
		t.Errorf("%d keys and %d topics were left behind", keys, topics)
	}
}

func TestKeysAtRestHaveNoGoroutine(t *testing.T) {
	ks := open(t, keyspace.Options{})
	before := runtime.NumGoroutine()
	var writers sync.WaitGroup // several, because of the race detector
	for w := range 4 {
		writers.Go(func() {
			for i := range 50_000 {
				mustSet(t, ks, fmt.Sprint("device/", w, "/", i), "1")
			}
		})
	}
	writers.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched() // the last writes' actors are parking
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines with 200,000 keys at rest, %d before them", after, before)
	}
}
