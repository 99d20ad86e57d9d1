package actor_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"rtdb/actor"
)

// A listener is an actor that keeps its batches.
type listener struct {
	actor.Actor[int]
	mu      sync.Mutex
	batches [][]int
}

func newListener(p *actor.Pool) *listener {
	l := new(listener)
	l.Init(func(batch []int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.batches = append(l.batches, slices.Clone(batch))
	}, actor.Options[int]{Pool: p})
	return l
}

func (l *listener) want(t *testing.T, when string, batches ...[]int) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.EqualFunc(l.batches, batches, slices.Equal) {
		t.Errorf("%s: the batches are %v, want %v", when, l.batches, batches)
	}
}

func sendCrowd(t *testing.T, c *actor.Crowd, m int, to ...*listener) {
	t.Helper()
	for _, l := range to {
		if err := l.TrySendCrowd(m, c); err != nil {
			t.Fatal(err)
		}
	}
}

// The actors of a crowd run when it is woken, and then have all messages that came before.
func TestACrowdRunsWhenItIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &actor.Pool{Interval: interval, Workers: 1}
		var c actor.Crowd
		all := make([]*listener, 300)
		for i := range all {
			all[i] = newListener(p)
		}
		c.Wake() // of nobody
		sendCrowd(t, &c, 1, all...)
		sendCrowd(t, &c, 2, all...)
		if c.Len() != len(all) {
			t.Errorf("%d actors wait, want %d", c.Len(), len(all))
		}
		for _, l := range all {
			l.want(t, "not woken")
		}
		c.Wake()
		for _, l := range all {
			l.want(t, "woken", []int{1, 2})
		}
		sendCrowd(t, &c, 3, all[0])
		c.Wake()
		all[1].want(t, "woken without it", []int{1, 2})
		if c.Len() != 0 {
			t.Errorf("%d actors wait after Wake", c.Len())
		}
		for _, l := range all { // which waits for the next round
			if err := l.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		all[0].want(t, "at the end", []int{1, 2}, []int{3})
	})
}

// TryRun does not wait for the crowd, and the crowd then does not run the actor again.
func TestTryRunRunsAnActorOfACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &actor.Pool{Workers: 1}
		var c actor.Crowd
		l := newListener(p)
		sendCrowd(t, &c, 1, l)
		if err := l.TryRun(2); err != nil {
			t.Fatal(err)
		}
		l.want(t, "after TryRun", []int{1, 2})
		sendCrowd(t, &c, 3, l) // it waits twice now
		if err := l.TrySend(4); err != nil {
			t.Fatal(err)
		}
		l.want(t, "not woken", []int{1, 2})
		c.Wake()
		l.want(t, "woken", []int{1, 2}, []int{3, 4})
	})
}

// An actor without a pool, or of another pool, does not wait for the crowd.
func TestActorsOfOtherPoolsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c actor.Crowd
		own, other, alone := newListener(new(actor.Pool)), newListener(new(actor.Pool)), newListener(nil)
		sendCrowd(t, &c, 1, own, other, alone)
		own.want(t, "not woken")
		other.want(t, "not woken", []int{1})
		alone.want(t, "not woken", []int{1})
		c.Wake()
		own.want(t, "woken", []int{1})
	})
}
