package keyspace

import (
	"container/heap"
	"errors"
	"sync"
	"time"

	"rtdb/actor"
)

const (
	// expiryBurst is how many keys are asked to expire at once, and
	// expiryPause how long the next of those that are due wait then: a
	// hundred thousand that are due together leave room for writers
	// (BenchmarkSetWhileKeysExpire).
	expiryBurst = 64
	expiryPause = time.Millisecond

	// expiryRetry is how long one waits whose key's mailbox was full, or
	// whose delete the store refused.
	expiryRetry = 10 * time.Millisecond
)

// An expiry says when a key is to be deleted. Its key's actor alone makes and
// moves it; a key that never expires has none.
type expiry struct {
	key *key      // guarded by the expiries' mu
	at  time.Time // guarded by the same; its key's actor may read it without
	due time.Time // when it is looked at: at, or later for another try
	pos int       // in the heap; outOfHeap while the key's actor has been asked
}

const outOfHeap = -1

// expiries ask the actors of the keys that are due, by one timer and a heap. A
// key is in it at most once, however often its time is put off.
type expiries struct {
	mu    sync.Mutex
	heap  expiryHeap
	timer *time.Timer
	armed time.Time // when the timer fires; zero: it does not
	rest  time.Time // it does not fire before
	open  bool      // keys are asked
}

// set moves the expiry of the actor's own key, where a zero at is never.
func (x *expiries) set(k *key, at time.Time) {
	switch {
	case at.IsZero() && k.expiry == nil:
		return
	case k.expiry == nil:
		k.expiry = &expiry{key: k, pos: outOfHeap}
	}
	e := k.expiry
	x.mu.Lock()
	defer x.mu.Unlock()
	if at.IsZero() {
		if e.pos != outOfHeap {
			heap.Remove(&x.heap, e.pos)
		}
		k.expiry = nil
		return
	}
	e.at = at
	x.pushLocked(e, at)
}

// retry is for an expiry that its key's actor could not do.
func (x *expiries) retry(e *expiry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pushLocked(e, time.Now().Add(expiryRetry))
}

// inherit has the actor asked that took the place of one that panicked, and
// has its expiry. It is not that actor's, which may have moved it by now.
func (x *expiries) inherit(e *expiry, heir *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.key = heir
	x.pushLocked(e, e.at)
}

func (x *expiries) pushLocked(e *expiry, due time.Time) {
	e.due = due
	if e.pos == outOfHeap {
		heap.Push(&x.heap, e)
	} else {
		heap.Fix(&x.heap, e.pos)
	}
	x.armLocked()
}

// armLocked has the timer fire when the first is due.
func (x *expiries) armLocked() {
	if !x.open || len(x.heap) == 0 {
		return
	}
	at := x.heap[0].due
	if at.Before(x.rest) {
		at = x.rest
	}
	if !x.armed.IsZero() && !at.Before(x.armed) {
		return // it fires before that, and looks again
	}
	x.armed = at
	if x.timer == nil {
		x.timer = time.AfterFunc(time.Until(at), x.fire)
	} else {
		x.timer.Reset(time.Until(at))
	}
}

// fire asks the keys that are due. It holds the lock throughout, for TrySend
// waits for nobody, and close must not return while a key is being asked.
func (x *expiries) fire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.open {
		return
	}
	now := time.Now()
	x.armed = time.Time{}
	for range expiryBurst {
		if len(x.heap) == 0 || x.heap[0].due.After(now) {
			break
		}
		e := x.heap[0]
		err := e.key.TrySend(&request{task: task{op: opExpire}})
		if errors.Is(err, actor.ErrFull) {
			e.due = now.Add(expiryRetry)
			heap.Fix(&x.heap, 0)
			continue
		}
		// Where the actor has stopped its heir will set it anew.
		heap.Pop(&x.heap)
	}
	x.rest = now.Add(expiryPause)
	x.armLocked()
}

// begin has keys asked from now on: before, the store may still be loading.
func (x *expiries) begin() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = true
	x.armLocked()
}

func (x *expiries) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = false
	if x.timer != nil {
		x.timer.Stop()
	}
}

// expiryHeap is a heap.Interface, the first due in front.
type expiryHeap []*expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *expiryHeap) Push(x any) {
	e := x.(*expiry)
	e.pos = len(*h)
	*h = append(*h, e)
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.pos = outOfHeap
	return e
}
