package keyspace

import (
	"container/heap"
	"errors"
	"sync"
	"time"

	"rtdb/actor"
)

const (
	// expiryBurst is the number of keys that are asked to expire at once, and
	// expiryPause is the pause before the next keys that are due. Because of the
	// pauses, writers are served while a hundred thousand keys are due together
	// (BenchmarkSetWhileKeysExpire).
	expiryBurst = 64
	expiryPause = time.Millisecond

	// expiryRetry is the time until a key is asked again, if its mailbox was full
	// or the store refused the delete.
	expiryRetry = 10 * time.Millisecond

	// sharedExpiryRetry is the time until a key is asked again after a shared store refused
	// the delete, because such a store may be cut off for minutes.
	sharedExpiryRetry = time.Second
)

// An expiry says when a key is to be deleted. Only the key's actor makes and
// changes it. A key that never expires has no expiry.
type expiry struct {
	key     *key      // guarded by expiries.mu
	expires time.Time // guarded by expiries.mu; the key's actor may read it without the lock
	due     time.Time // when the key is asked: expires, or later if it is asked again
	pos     int       // in the heap; notInHeap after the key's actor was asked
}

const notInHeap = -1

// expiries asks the actors of keys that are due to delete them. It has one timer,
// and a heap in which each key is at most once.
type expiries struct {
	mu          sync.Mutex
	heap        expiryHeap
	timer       *time.Timer
	firesAt     time.Time // when the timer fires; zero: it is not set
	pausedUntil time.Time // the timer does not fire before
	enabled     bool      // keys are asked

	// delay returns how long another keyspace is given to delete the key first. nil: there
	// is no other.
	delay func(key string) time.Duration
}

// set changes when a key expires. A zero time means never. Only the key's own actor
// calls it.
func (x *expiries) set(k *key, expires time.Time) {
	switch {
	case expires.IsZero() && k.expiry == nil:
		return
	case k.expiry == nil:
		k.expiry = &expiry{key: k, pos: notInHeap}
	}
	e := k.expiry
	x.mu.Lock()
	defer x.mu.Unlock()
	if expires.IsZero() {
		if e.pos != notInHeap {
			heap.Remove(&x.heap, e.pos)
		}
		k.expiry = nil
		return
	}
	e.expires = expires
	x.pushLocked(e, expires)
}

// retry asks for an expiry again after the store refused it.
func (x *expiries) retry(e *expiry) {
	pause := expiryRetry
	if x.delay != nil {
		pause = sharedExpiryRetry
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pushLocked(e, time.Now().Add(pause))
}

// reassign gives the expiry of an actor that panicked to its successor. It keeps
// the time of the expiry, because the successor may have changed it already.
func (x *expiries) reassign(e *expiry, successor *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.key = successor
	x.pushLocked(e, e.expires)
}

func (x *expiries) pushLocked(e *expiry, due time.Time) {
	e.due = due
	if e.pos == notInHeap {
		heap.Push(&x.heap, e)
	} else {
		heap.Fix(&x.heap, e.pos)
	}
	x.setTimerLocked()
}

// setTimerLocked makes the timer fire when the first key is due.
func (x *expiries) setTimerLocked() {
	if !x.enabled || len(x.heap) == 0 {
		return
	}
	at := x.heap[0].due
	if at.Before(x.pausedUntil) {
		at = x.pausedUntil
	}
	if !x.firesAt.IsZero() && !at.Before(x.firesAt) {
		return // the timer fires before that, and is then set again
	}
	x.firesAt = at
	if x.timer == nil {
		x.timer = time.AfterFunc(time.Until(at), x.fire)
	} else {
		x.timer.Reset(time.Until(at))
	}
}

// fire asks the keys that are due. It may hold the lock all the time because
// TrySend does not wait. It must hold the lock because no key may be asked after
// disable has returned.
func (x *expiries) fire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.enabled {
		return
	}
	now := time.Now()
	x.firesAt = time.Time{}
	for range expiryBurst {
		if len(x.heap) == 0 || x.heap[0].due.After(now) {
			break
		}
		e := x.heap[0]
		if x.delay != nil && !e.due.After(e.expires) {
			if d := x.delay(e.key.name); d > 0 {
				e.due = e.expires.Add(d)
				heap.Fix(&x.heap, 0)
				continue
			}
		}
		err := e.key.TrySend(&request{task: task{op: opExpire}})
		if errors.Is(err, actor.ErrFull) {
			e.due = now.Add(expiryRetry)
			heap.Fix(&x.heap, 0)
			continue
		}
		// If the actor has stopped, reassign puts the expiry back for the
		// successor.
		heap.Pop(&x.heap)
	}
	x.pausedUntil = now.Add(expiryPause)
	x.setTimerLocked()
}

// enable lets keys expire. It is called after the store has loaded.
func (x *expiries) enable() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.enabled = true
	x.setTimerLocked()
}

// disable stops asking keys to expire.
func (x *expiries) disable() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.enabled = false
	if x.timer != nil {
		x.timer.Stop()
	}
}

// expiryHeap is a heap.Interface. The key that is due first is at the front.
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
	e.pos = notInHeap
	return e
}
