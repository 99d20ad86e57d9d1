package keyspace

import (
	"runtime"
	"sync"
	"time"

	"rtdb/actor"
)

// crowdSize is the number of subscribers above which their sessions are woken together, as a
// crowd. To write to so many clients takes a millisecond or less, and nobody is delayed for
// longer by subscribers that are not a crowd.
const crowdSize = 128

// maxHeld is the number of deliveries after which a crowd is woken, even if more updates
// follow at once: less than 10 ms of work.
const maxHeld = 1 << 16

// maxMerging is how long a crowd is held while the actor merges. A merge of a long value takes
// a millisecond, and 256 of them may wait.
const maxMerging = 5 * time.Millisecond

// A heldCrowd is the crowd that the actor of a key or topic has delivered to and has not
// woken yet.
type heldCrowd struct {
	held *hold // nil: none
}

type hold struct {
	crowd      actor.Crowd
	deliveries int
	since      time.Time
}

var holds = sync.Pool{New: func() any { return new(hold) }}

// of returns the crowd for an update with n subscribers, nil if they are few.
func (h *heldCrowd) of(n int) *actor.Crowd {
	if n <= crowdSize {
		return nil
	}
	if h.held == nil {
		h.held = holds.Get().(*hold)
		h.held.since = time.Now()
	}
	h.held.deliveries += n
	return &h.held.crowd
}

// wake lets the sessions of the crowd write to their clients.
func (h *heldCrowd) wake() {
	if h.held != nil {
		h.held.crowd.Wake()
		h.held.deliveries = 0
		holds.Put(h.held)
		h.held = nil
	}
}

// wakeBeforeMerge wakes the crowd if it was held for maxMerging.
func (h *heldCrowd) wakeBeforeMerge() {
	if h.held != nil && time.Since(h.held.since) >= maxMerging {
		h.wake()
	}
}

// wakeIfDue wakes the crowd if it was held for long, or if no other update follows at once.
// pending reports whether a request waits. A client that has sent several requests has been
// answered a moment ago, and needs that moment to send the next one.
//
// Tried: actor.Yield in place of Gosched made more sends, 0.31 a delivery with 4 in flight
// instead of 0.28. To hold the updates, too, and deliver a burst to one subscriber after the
// other, gained nothing.
func (h *heldCrowd) wakeIfDue(pending func() bool) {
	if h.held == nil {
		return
	}
	if h.held.deliveries < maxHeld {
		if pending() {
			return
		}
		if runtime.Gosched(); pending() {
			return
		}
	}
	h.wake()
}
