package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

func TestAKeyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		var in inbox
		if _, err := subscribe(ks, t.Context(), "k", &in); err != nil {
			t.Fatal(err)
		}
		setFor(t, ks, "k", "1", time.Minute)
		time.Sleep(time.Minute - 1)
		wantValue(t, ks, "k", "1")
		time.Sleep(time.Nanosecond)
		wantValue(t, ks, "k", "")
		wantMessages(t, &in, `{"key":"k","value":1}`, `{"key":"k","value":null,"deleted":true}`)
		if v := mustSet(t, ks, "k", "2"); v != 3 {
			t.Errorf("version %d, want 3: the expiry has version 2", v)
		}
		time.Sleep(time.Hour)
		wantValue(t, ks, "k", "2")
	})
}

func TestChangesThatMoveAnExpiry(t *testing.T) {
	same := func(old []byte) ([]byte, error) { return append([]byte(nil), old...), nil }
	for name, c := range map[string]struct {
		change  keyspace.Change
		expires time.Duration // 0: never
	}{
		"a write":                        {keyspace.Change{Value: []byte("1")}, 0},
		"a longer time":                  {keyspace.Change{Value: []byte("1"), TTL: time.Hour}, time.Hour},
		"a shorter time":                 {keyspace.Change{Value: []byte("1"), TTL: time.Second}, time.Second},
		"a merge does not":               {keyspace.Change{Merge: same}, time.Minute},
		"a merge with a time":            {keyspace.Change{Merge: same, TTL: time.Hour}, time.Hour},
		"a refused write does not":       {keyspace.Change{Value: []byte("2"), If: func(uint64) bool { return false }}, time.Minute},
		"the same time once more":        {keyspace.Change{Value: []byte("1"), TTL: time.Minute}, time.Minute},
		"a merge that fails does not":    {keyspace.Change{Merge: func([]byte) ([]byte, error) { return nil, errUnmergeable }}, time.Minute},
		"a delete that fails, does not":  {keyspace.Change{Delete: true, If: func(uint64) bool { return false }}, time.Minute},
		"a time too short to be noticed": {keyspace.Change{Value: []byte("1"), TTL: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ks := open(t, keyspace.Options{})
				setFor(t, ks, "k", "1", time.Minute)
				_, _ = ks.Write(t.Context(), "k", c.change)
				if c.expires == 0 {
					time.Sleep(1000 * time.Hour)
					wantValue(t, ks, "k", "1")
					return
				}
				time.Sleep(c.expires - 1)
				wantValue(t, ks, "k", "1")
				time.Sleep(time.Millisecond)
				wantValue(t, ks, "k", "")
			})
		})
	}
}

// A write that was accepted before the key was due wins, even if its commit takes long:
// it comes before the expiry in the actor's mailbox.
func TestAWriteBeforeTheExpiryWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		store := &lateStore{Store: keyspace.NewMemory(1), late: map[string]chan struct{}{}}
		ks := open(t, keyspace.Options{Store: store})
		setFor(t, ks, "k", "1", time.Minute)
		setFor(t, ks, "idle", "1", time.Minute)
		store.late["k"] = hang
		done := make(chan error, 2)
		for _, key := range []string{"k", "k"} {
			go func() {
				_, err := ks.Set(context.Background(), key, []byte("2"))
				done <- err
			}()
			synctest.Wait()
		}
		time.Sleep(time.Hour) // the key is due meanwhile
		wantValue(t, ks, "k", "1")
		wantValue(t, ks, "idle", "")
		close(hang)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		wantValue(t, ks, "k", "2")
		time.Sleep(time.Hour)
		wantValue(t, ks, "k", "2")
	})
}

// If the store refuses an expiry, the keyspace tries again.
func TestAnExpiryThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(context.Context, []keyspace.Record) error {
			if full.Load() {
				return errors.New("disk full")
			}
			return nil
		}
		ks := open(t, keyspace.Options{Store: store})
		setFor(t, ks, "k", "1", time.Second)
		full.Store(true)
		time.Sleep(time.Minute)
		wantValue(t, ks, "k", "1")
		full.Store(false)
		time.Sleep(time.Second)
		wantValue(t, ks, "k", "")
	})
}

// The successor of an actor that panicked keeps the expiry.
func TestASuccessorExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		setFor(t, ks, "k", "1", time.Minute)
		_, err := ks.Write(t.Context(), "k", keyspace.Change{Merge: func([]byte) ([]byte, error) { panic("a broken merge") }})
		if !errors.Is(err, keyspace.ErrInternal) {
			t.Errorf("%v, want ErrInternal", err)
		}
		wantValue(t, ks, "k", "1")
		if page, err := ks.List(t.Context(), keyspace.Query{Limit: 5}); err != nil || len(page.Entries) != 1 {
			t.Errorf("List: %v, %v", page, err)
		}
		time.Sleep(time.Minute)
		wantValue(t, ks, "k", "")
		if page, err := ks.List(t.Context(), keyspace.Query{Limit: 5}); err != nil || len(page.Entries) != 0 {
			t.Errorf("List: %v, %v", page, err)
		}
	})
}

// A key that the store loads may expire, and may be due already.
func TestLoadedKeysExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{Store: &loaded{keyspace.NewMemory(100), []keyspace.Record{
			{Key: "due", Value: []byte("1"), Version: 1, Expires: time.Now().Add(-time.Hour)},
			{Key: "soon", Value: []byte("1"), Version: 2, Expires: time.Now().Add(time.Hour)},
			{Key: "never", Value: []byte("1"), Version: 3},
		}}})
		time.Sleep(time.Minute)
		wantValue(t, ks, "due", "")
		wantValue(t, ks, "soon", "1")
		time.Sleep(time.Hour)
		wantValue(t, ks, "soon", "")
		wantValue(t, ks, "never", "1")
	})
}

// A key that is written again and again is in the heap once. Keys that are due
// together expire in bursts.
func TestManyKeysExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		const keys = 1000
		for range 5 {
			for i := range keys {
				setFor(t, ks, fmt.Sprint(i), "1", time.Minute)
			}
		}
		if n := ks.Expiries(); n != keys {
			t.Errorf("%d in the heap, want %d", n, keys)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		left, _ := ks.Names()
		if left == 0 || left == keys {
			t.Errorf("%d keys at once, want one burst", keys-left)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if left, _ := ks.Names(); left != 0 || ks.Expiries() != 0 {
			t.Errorf("%d keys are left, and %d in the heap", left, ks.Expiries())
		}
	})
}

// A waiting writer writes to the successor of a panicked actor at once. That write has
// no time to live, and the one of the write before must not delete it.
func TestASuccessorHasItsExpiryFromTheStart(t *testing.T) {
	ks := open(t, keyspace.Options{})
	const keys = 300
	for i := range keys {
		key := fmt.Sprint(i)
		setFor(t, ks, key, "1", 100*time.Millisecond)
		var spin atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !spin.Load() {
			}
			for {
				if _, err := ks.Set(context.Background(), key, []byte("2")); err == nil {
					return
				}
			}
		}()
		_, _ = ks.Write(t.Context(), key, keyspace.Change{Merge: func([]byte) ([]byte, error) {
			spin.Store(true)
			panic("a broken merge")
		}})
		<-done
	}
	// Wait in real time, because the goroutines race: until a key has expired that
	// is due after all others.
	gone := make(chan struct{})
	last := subscriberFunc(func(u *keyspace.Update) {
		if u.Value == nil {
			close(gone)
		}
	})
	if err := ks.Subscribe(t.Context(), keyspace.Key("last"), &last, keyspace.Start{}); err != nil {
		t.Fatal(err)
	}
	setFor(t, ks, "last", "1", 100*time.Millisecond)
	<-gone
	for i := range keys {
		if _, err := ks.Get(fmt.Sprint(i)); err != nil {
			t.Errorf("key %d expired, but its last write has no time to live: %v", i, err)
		}
	}
}
