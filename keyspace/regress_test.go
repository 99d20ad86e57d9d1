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

// gated returns a store whose commits wait where a test says so, so that several
// writes of a key are one run.
func gated(gate *atomic.Pointer[chan struct{}]) *faultyStore {
	return &faultyStore{Store: keyspace.NewMemory(1), commit: func(context.Context, []keyspace.Write) error {
		if g := gate.Load(); g != nil {
			<-*g
		}
		return nil
	}}
}

// inOneRun has the key's actor handle the changes together, but for the first.
func inOneRun(t *testing.T, ks *keyspace.Keyspace, gate *atomic.Pointer[chan struct{}], changes ...keyspace.Change) {
	t.Helper()
	g := make(chan struct{})
	gate.Store(&g)
	for _, c := range changes {
		go func() { _, _ = ks.Write(context.Background(), "k", c) }()
		synctest.Wait()
	}
	close(g)
	synctest.Wait()
}

func resume(t *testing.T, ks *keyspace.Keyspace, since uint64, room func() error) (got []string, m keyspace.Mark) {
	t.Helper()
	r := newRecorder()
	err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
		Resume: true, Since: since, Throttle: room,
		Each: func(u *keyspace.Update) { got = append(got, string(encode(u))) },
		Mark: func(mark keyspace.Mark) { m = mark },
	})
	if err := errors.Join(err, ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r)); err != nil {
		t.Fatal(err)
	}
	return got, m
}

// A delete and a set in one run leave no tombstone on a key that is there: who
// resumes would be told of it twice.
func TestADeleteWithASetBehindItIsNotBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate atomic.Pointer[chan struct{}]
		ks := open(t, keyspace.Options{Store: gated(&gate)})
		since := mustSet(t, ks, "k", "1")
		inOneRun(t, ks, &gate, keyspace.Change{Value: []byte("2")}, keyspace.Change{Delete: true}, keyspace.Change{Value: []byte("3")})
		if got, m := resume(t, ks, since, nil); len(got) != 1 || got[0] != `{"key":"k","value":3}` || m.Reset {
			t.Errorf("told %q, %+v; want the value once", got, m)
		}
	})
}

// Deletes that are forgotten while a subscriber catches up were there when it
// began, and it is told of them.
func TestDeletesThatAreForgottenMeanwhileAreTold(t *testing.T) {
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
	told := false
	got, m := resume(t, ks, since, func() error {
		if !told {
			told = true
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
		t.Errorf("told %q, %+v; want three deletes", got, m)
	}
}

// A revision that an update had is not of the future, though others are still
// being told that update.
func TestARevisionOfOursIsNotOfTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		revisions, goOn := make(chan uint64), make(chan struct{})
		slow := subscriberFunc(func(u *keyspace.Update) { // stands for many, one after the other
			revisions <- u.Revision()
			<-goOn
		})
		if err := ks.Subscribe(t.Context(), keyspace.Key("k"), &slow, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		mustSet(t, ks, "k", "1")
		since := <-revisions
		if got, m := resume(t, ks, since, nil); m.Reset || len(got) != 0 {
			t.Errorf("since %d: told %q, %+v", since, got, m)
		}
		close(goOn)
	})
}

type subscriberFunc func(*keyspace.Update)

func (f *subscriberFunc) Deliver(u *keyspace.Update) { (*f)(u) }

// Where a subscriber's panic kept others from being told, who resumes is told
// all, and told so.
func TestWhatAPanicKeptFromBeingToldIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate atomic.Pointer[chan struct{}]
		ks := open(t, keyspace.Options{Store: gated(&gate)})
		since := mustSet(t, ks, "k", "1")
		bad := subscriberFunc(func(u *keyspace.Update) {
			if string(u.Value) == "3" {
				panic("a broken subscriber")
			}
		})
		if err := ks.Subscribe(t.Context(), keyspace.Key("k"), &bad, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		inOneRun(t, ks, &gate, keyspace.Change{Value: []byte("2")}, keyspace.Change{Value: []byte("3")}, keyspace.Change{Delete: true})
		if _, err := ks.Get("k"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Fatalf("Get: %v", err)
		}
		if got, m := resume(t, ks, since, nil); !m.Reset {
			t.Errorf("told %q, %+v; want the delete, or a reset", got, m)
		}
	})
}

// A read in order of a key that comes and goes never contradicts the update
// that was told before it.
func TestGetInOrderOfAKeyThatComesAndGoes(t *testing.T) {
	ks := open(t, keyspace.Options{})
	var there atomic.Bool
	s := subscriberFunc(func(u *keyspace.Update) { there.Store(u.Value != nil) })
	if err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), &s, keyspace.Start{}); err != nil {
		t.Fatal(err)
	}
	stop := (&workload{ks: ks, keys: []string{"k"}, written: map[string][]uint64{}}).run(t, 1)
	for range 20_000 {
		err := ks.GetInOrder(t.Context(), "k", func(e keyspace.Entry) {
			if (e.Value != nil) != there.Load() {
				t.Error("a read contradicts the update before it")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
}

// countingStore counts commits while it loads.
type countingStore struct {
	keyspace.Store
	loading atomic.Bool
	early   atomic.Int64
}

func (s *countingStore) Load(yield func(keyspace.Write) error) (uint64, error) {
	s.loading.Store(true)
	defer s.loading.Store(false)
	w := keyspace.Write{Key: "k", Value: []byte("1"), Version: 1, Expires: time.Now().Add(-time.Hour)}
	err := yield(w)
	time.Sleep(time.Minute) // a long journal
	return 100, err
}

func (s *countingStore) Commit(ctx context.Context, writes []keyspace.Write) error {
	if s.loading.Load() {
		s.early.Add(1)
	}
	return s.Store.Commit(ctx, writes)
}

func TestNothingIsCommittedWhileTheStoreLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingStore{Store: keyspace.NewMemory(101)}
		ks := open(t, keyspace.Options{Store: s})
		wantHeld(t, ks, "k", "")
		if n := s.early.Load(); n != 0 {
			t.Errorf("%d commits before Load had returned", n)
		}
	})
}

// An heir is written to at once, by who has waited for it: that write counts,
// and not the time to live of the one before.
func TestAnHeirHasItsExpiryFromTheStart(t *testing.T) {
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
	// What is due after all of them has gone: the race is one of goroutines,
	// so this is in real time.
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
			t.Errorf("key %d was last written for ever: %v", i, err)
		}
	}
}
