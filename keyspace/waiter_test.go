package keyspace_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"rtdb/actor"
	"rtdb/keyspace"
)

// A countingWaiter counts the calls of Detach.
type countingWaiter int

func (w *countingWaiter) Detach() { *w++ }

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
				ks := open(t, keyspace.Options{Store: x.store()})
				var pool actor.Pool
				var s sends
				for range x.subscribers {
					s.subscribe(t, ks, &pool, "k", 0)
				}
				if _, err := ks.Write(t.Context(), "k", set("1")); err != nil { // the key learns how many they are
					t.Fatal(err)
				}
				synctest.Wait()
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
					if told := w > 0; told != x.tells {
						t.Errorf("in a burst: %v; told %v, want %v", burst != nil, told, x.tells)
					}
					synctest.Wait()
				}
			})
		})
	}
}

// The same for a message of a topic.
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
			if told := w > 0; told != x.tells {
				t.Errorf("with %d subscribers: told %v, want %v", x.subscribers, told, x.tells)
			}
		})
	}
}

type ignoringSubscriber struct{ _ int }

func (*ignoringSubscriber) Deliver(*keyspace.Update) {}
