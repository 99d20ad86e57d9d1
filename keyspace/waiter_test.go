package keyspace_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"rtdb/actor"
	"rtdb/keyspace"
)

// A countingWaiter counts calls.
type countingWaiter struct{ detached, paused, resumed int }

func (w *countingWaiter) Detach() { w.detached++ }
func (w *countingWaiter) Pause()  { w.paused++ }
func (w *countingWaiter) Resume() { w.resumed++ }

// openSubscribed opens a keyspace whose key k has subscribers, and knows how many they are.
func openSubscribed(t *testing.T, store keyspace.Store, subscribers int) *keyspace.Keyspace {
	t.Helper()
	ks := open(t, keyspace.Options{Store: store})
	var pool actor.Pool
	var s sends
	for range subscribers {
		s.subscribe(t, ks, &pool, "k", 0)
	}
	if _, err := ks.Write(t.Context(), "k", set("1")); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return ks
}

// A goroutine that others wait for is told before it waits for the store or for a key's actor, and
// before it would have to deliver to a crowd. Otherwise it is not told.
func TestAWaiterIsToldBeforeItWaits(t *testing.T) {
	for name, x := range map[string]struct {
		store       func() keyspace.Store
		subscribers int
		tells       bool
	}{
		"in memory":               {func() keyspace.Store { return keyspace.NewMemory(1) }, 0, false},
		"with a few subscribers":  {func() keyspace.Store { return keyspace.NewMemory(1) }, 100, false},
		"with a crowd":            {func() keyspace.Store { return keyspace.NewMemory(1) }, 200, true},
		"with a store that waits": {func() keyspace.Store { return gated(new(atomic.Pointer[chan struct{}])) }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ks := openSubscribed(t, x.store(), x.subscribers)
				for _, burst := range []*keyspace.Burst{nil, new(keyspace.Burst)} {
					var w countingWaiter
					c := set("2")
					c.Waiter = &w
					if burst != nil {
						burst.Begin()
						c.Burst = burst
					}
					if _, err := ks.Write(t.Context(), "k", c); err != nil {
						t.Fatal(err)
					}
					if burst != nil {
						burst.End()
					}
					if told := w.detached > 0; told != x.tells {
						t.Errorf("in a burst: %v; told %v, want %v", burst != nil, told, x.tells)
					}
					synctest.Wait()
				}
			})
		})
	}
}

// A briefStore is a store in memory that says whether its commits are brief.
type briefStore struct {
	keyspace.Store
	brief   bool
	commits func()
}

func (s *briefStore) Brief() bool { return s.brief }

func (s *briefStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	s.commits()
	return s.Store.Commit(ctx, writes)
}

// If a commit is likely to be brief, the writer's goroutine makes it, and only pauses. If it
// is not, or if the updates go to a crowd, the goroutine detaches.
func TestAWaiterPausesForABriefCommit(t *testing.T) {
	for name, x := range map[string]struct {
		brief       bool
		subscribers int
		pauses      bool
	}{
		"brief":                         {true, 0, true},
		"brief, with a few subscribers": {true, 100, true},
		"brief, with a crowd":           {true, 200, false},
		"not brief":                     {false, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w countingWaiter
				paused := false
				s := &briefStore{keyspace.NewMemory(1), x.brief, func() { paused = w.paused > w.resumed }}
				ks := openSubscribed(t, s, x.subscribers)
				c := set("2")
				c.Waiter = &w
				if _, err := ks.Write(t.Context(), "k", c); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if paused != x.pauses || w.paused != w.resumed || (w.detached == 0) != x.pauses {
					t.Errorf("%+v, paused during the commit: %v; want %v", w, paused, x.pauses)
				}
			})
		})
	}
}

// A sender with several writes does not make the commits one by one, although they are brief.
func TestWriteAllCommitsTogetherWithABriefStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 10
		gate := make(chan struct{})
		var waiting atomic.Int64
		ks := open(t, keyspace.Options{Store: &briefStore{keyspace.NewMemory(1), true, func() { waiting.Add(1); <-gate }}})
		var changes []keyspace.KeyedChange
		for i := range keys {
			changes = append(changes, keyspace.KeyedChange{Key: fmt.Sprint(i), Change: set("1")})
		}
		done := make(chan []keyspace.Result)
		go func() { done <- ks.WriteAll(t.Context(), changes) }()
		synctest.Wait()
		if n := waiting.Load(); n != keys {
			t.Errorf("%d commits are under way, want %d", n, keys)
		}
		close(gate)
		for _, r := range <-done {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
	})
}

// A waiter is told before its message of a topic goes to a crowd.
func TestAWaiterIsToldBeforeItPublishesToACrowd(t *testing.T) {
	for _, x := range []struct {
		subscribers int
		tells       bool
	}{{0, false}, {100, false}, {200, true}} {
		synctest.Test(t, func(t *testing.T) {
			ks := open(t, keyspace.Options{Store: keyspace.NewMemory(1)})
			for range x.subscribers {
				mustSubscribe(t, ks, keyspace.Topic("t"), new(ignoringSubscriber))
			}
			if err := ks.Publish(t.Context(), "t", []byte("1")); err != nil { // the topic learns how many they are
				t.Fatal(err)
			}
			synctest.Wait()
			var w countingWaiter
			if err := ks.PublishFor(t.Context(), "t", []byte("2"), &w); err != nil {
				t.Fatal(err)
			}
			if told := w.detached > 0; told != x.tells {
				t.Errorf("with %d subscribers: told %v, want %v", x.subscribers, told, x.tells)
			}
		})
	}
}

type ignoringSubscriber struct{ _ int }

func (*ignoringSubscriber) Deliver(*keyspace.Update) {}
