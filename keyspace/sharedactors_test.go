package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
)

// A subscriber that panics while its keyspace follows another one harms nobody else, and
// holds back no revision.
func TestAPanicWhileFollowing(t *testing.T) {
	for _, echo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			hub := storetest.NewHub(storetest.HubOptions{Echo: echo, Delay: func() time.Duration { return rand.N(time.Millisecond) }})
			var panics atomic.Int64
			a := open(t, keyspace.Options{Store: hub.Open(), OnPanic: func(keyspace.Panic) { panics.Add(1) }})
			b, _ := openOn(t, hub)
			var in, all inbox
			bad := new(bomb)
			mustSubscribe(t, a, keyspace.Key("k"), bad)
			mustSubscribe(t, a, keyspace.Key("other"), &in)
			mustSubscribe(t, b, keyspace.Pattern("#"), &all)
			since := b.Revision()
			for n := range 5 {
				mustSet(t, b, "k", fmt.Sprint(n))
				mustSet(t, b, "other", fmt.Sprint(n))
				_, err := a.Write(t.Context(), "k", appendTo("+"))
				if err != nil && !errors.Is(err, keyspace.ErrInternal) {
					t.Errorf("write: %v", err)
				}
			}
			last, err := b.Delete(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			settleDown()
			wantValue(t, a, "k", "")
			wantValue(t, a, "other", "4")
			if panics.Load() == 0 || len(in.messages()) != 5 {
				t.Errorf("%d panics, %d updates of another key", panics.Load(), len(in.messages()))
			}
			if a.Revision() < last {
				t.Errorf("revision %d, want %d or more", a.Revision(), last)
			}
			if _, m := resume(t, a, since, nil); !m.Reset {
				t.Errorf("%+v, want a reset: updates were not delivered", m)
			}
			mustUnsubscribe(t, a, keyspace.Key("k"), bad)
			wantRising(t, &all)
			wantQuiet(t, a)
			if a.Keys() != 1 || b.Keys() != 1 {
				t.Errorf("%d and %d keys, want 1", a.Keys(), b.Keys())
			}
		})
	}
}

// A run is delivered once, even if a subscriber panics, nothing is left of the key, and the
// records come again.
func TestARunThatPanickedComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{Echo: true, Delay: func() time.Duration { return time.Millisecond }})
		var panics atomic.Int64
		gate := make(chan struct{})
		ks := open(t, keyspace.Options{
			Store:   &sharedStore{SharedStore: hub.Open(), commit: func([]keyspace.Record) { <-gate }},
			OnPanic: func(keyspace.Panic) { panics.Add(1) },
		})
		bad := subscriberFunc(func(u *keyspace.Update) {
			if string(u.Value) == "2" {
				panic("a broken subscriber")
			}
		})
		mustSubscribe(t, ks, keyspace.Pattern("#"), &bad)
		for _, change := range []keyspace.Change{{Value: []byte("1")}, {Value: []byte("2")}, {Delete: true}} {
			go func() { _, _ = ks.Write(context.Background(), "k", change) }()
			synctest.Wait()
		}
		close(gate) // the last two are one run
		settleDown()
		wantValue(t, ks, "k", "")
		if n := panics.Load(); n != 1 {
			t.Errorf("%d panics, want 1", n)
		}
		wantQuiet(t, ks)
	})
}

// A write meets a newer record that means nothing, and is then refused. The key is gone, and
// its position with it.
func TestARefusalAfterAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{})
		a, _ := openOn(t, hub)
		mustSet(t, a, "k", "1")
		store := &sharedStore{SharedStore: hub.Open()}
		store.commit = func([]keyspace.Record) {
			if _, err := a.Delete(t.Context(), "k"); err != nil {
				t.Error(err)
			}
			hub.Scribble("k")
		}
		b := open(t, keyspace.Options{Store: store})
		if _, err := b.Delete(t.Context(), "k"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Delete: %v, want ErrNotFound", err)
		}
		settleDown()
		if names, _ := b.Names(); names != 0 || b.Positions() != 0 {
			t.Errorf("%d actors and %d positions are left of a key that is gone", names, b.Positions())
		}
	})
}

// Keys come and go on two keyspaces. Their actors retire while records come, and leave nothing.
func TestActorsRetireWhileRecordsCome(t *testing.T) {
	hub := storetest.NewHub(storetest.HubOptions{Echo: true})
	members := make([]*keyspace.Keyspace, 2)
	for i := range members {
		members[i], _ = openOn(t, hub)
	}
	var writing sync.WaitGroup
	for i := range 4 {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			for range 500 {
				key := fmt.Sprint("k/", random.IntN(2))
				change := []keyspace.Change{{Value: []byte("1")}, {Delete: true}, {Touch: true, TTL: time.Hour}}[random.IntN(3)]
				if _, err := members[i%2].Write(t.Context(), key, change); err != nil && !errors.Is(err, keyspace.ErrNotFound) {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	writing.Wait()
	for n := range 2 {
		if _, err := members[0].Delete(t.Context(), fmt.Sprint("k/", n)); err != nil && !errors.Is(err, keyspace.ErrNotFound) {
			t.Error(err)
		}
	}
	for i, ks := range members {
		eventually(t, fmt.Sprintf("keyspace %d is empty", i), func() bool {
			keys, _ := ks.Names()
			return keys == 0 && ks.Keys() == 0 && ks.Positions() == 0 && ks.Expiries() == 0 && ks.InFlight() == 0
		})
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// Records come for a key whose mailbox is full, and whose actor waits for the store.
func TestRecordsForAFullMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{})
		gate := make(chan struct{})
		var commits atomic.Int64
		a := open(t, keyspace.Options{Store: &sharedStore{SharedStore: hub.Open(), commit: func(writes []keyspace.Record) {
			if len(writes) > keyspace.MaxSharedRun {
				t.Errorf("a commit of %d writes", len(writes))
			}
			commits.Add(1)
			<-gate
		}}})
		b, _ := openOn(t, hub)
		var in inbox
		mustSubscribe(t, a, keyspace.Key("k"), &in)
		var writing sync.WaitGroup
		for range 600 { // more than the mailbox has room for
			writing.Go(func() {
				if _, err := a.Write(t.Context(), "k", appendTo(".")); err != nil {
					t.Errorf("write: %v", err)
				}
			})
		}
		synctest.Wait()
		for range 5 {
			if _, err := b.Write(t.Context(), "k", appendTo("+")); err != nil {
				t.Error(err)
			}
		}
		close(gate)
		writing.Wait()
		settleDown()
		for _, ks := range []*keyspace.Keyspace{a, b} {
			e, err := ks.Get("k")
			if err != nil || strings.Count(string(e.Value), ".") != 600 || strings.Count(string(e.Value), "+") != 5 {
				t.Errorf("%d and %d merges, %v; want 600 and 5", strings.Count(string(e.Value), "."), strings.Count(string(e.Value), "+"), err)
			}
		}
		if n := commits.Load(); n < 600/keyspace.MaxSharedRun || n > 100 {
			t.Errorf("%d commits of 600 writes", n)
		}
		wantRising(t, &in)
	})
}

// Keyspaces are shut down while others write. Nothing hangs: not even a store that asks for a
// snapshot in Close.
func TestShutdownWhileRecordsCome(t *testing.T) {
	hub := storetest.NewHub(storetest.HubOptions{})
	writer, _ := openOn(t, hub)
	var stop atomic.Bool
	var writing sync.WaitGroup
	for i := range 2 {
		writing.Go(func() {
			for n := 0; !stop.Load(); n++ {
				mustSet(t, writer, fmt.Sprint("k/", i, "/", n%5), "1")
			}
		})
	}
	for range 30 {
		store := &sharedStore{SharedStore: hub.Open()}
		store.loading = func(state keyspace.State) {
			store.closing = func() { state.Snapshot(func(*keyspace.Record) bool { return true }) }
		}
		ks, err := keyspace.Open(keyspace.Options{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		var own sync.WaitGroup
		own.Go(func() {
			for {
				if _, err := ks.Set(t.Context(), "k/0/0", []byte("2")); err != nil {
					if !errors.Is(err, keyspace.ErrClosed) {
						t.Errorf("write: %v", err)
					}
					return
				}
			}
		})
		mustSet(t, writer, "k/0/0", "1")
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		own.Wait()
	}
	stop.Store(true)
	writing.Wait()
}

// A repeating store loses a key twice. Each time it passes the key's record again.
type repeating struct {
	keyspace.Store
	feed   keyspace.Feed
	last   []keyspace.Record
	losses int
}

func (s *repeating) Follow(f keyspace.Feed)         { s.feed = f }
func (*repeating) Barrier(context.Context) error    { return nil }
func (*repeating) ExpiryDelay(string) time.Duration { return 0 }

func (s *repeating) Commit(ctx context.Context, writes []keyspace.Record) error {
	if s.losses > 0 {
		s.losses--
		s.feed.Apply(s.last)
		return &keyspace.ConflictError{}
	}
	err := s.Store.Commit(ctx, writes)
	for i := range writes {
		writes[i].Position = writes[len(writes)-1].Version
	}
	s.last = slices.Clone(writes)
	return err
}

// A record that comes again is not delivered again, even if the store has lost the key, so
// that the position of the record does not tell.
func TestARecordComesAgainAfterTheKeyWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &repeating{Store: keyspace.NewMemory(1)}
		ks := open(t, keyspace.Options{Store: store})
		var in inbox
		mustSubscribe(t, ks, keyspace.Key("k"), &in)
		mustSet(t, ks, "k", "1")
		synctest.Wait()
		store.losses = 2
		mustSet(t, ks, "k", "2")
		synctest.Wait()
		wantMessages(t, &in, `{"key":"k","value":1}`, `{"key":"k","value":2}`)
	})
}

// A store that contradicts itself gets one error, not an endless loop.
func TestAConflictWithItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &contradictory{SharedStore: storetest.NewHub(storetest.HubOptions{}).Open()}
		ks := open(t, keyspace.Options{Store: store})
		if _, err := ks.Set(t.Context(), "k", []byte("1")); !errors.Is(err, keyspace.ErrUnavailable) {
			t.Errorf("Set: %v, want ErrUnavailable", err)
		}
		if _, err := ks.Get("k"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Get: %v, want ErrNotFound", err)
		}
	})
}

// A contradictory store says that a position is not the newest, and then that it is.
type contradictory struct{ keyspace.SharedStore }

func (*contradictory) Commit(_ context.Context, _ []keyspace.Record) error {
	return &keyspace.ConflictError{Position: 17}
}
