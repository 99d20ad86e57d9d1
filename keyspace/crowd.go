package keyspace

import (
	"runtime"
	"sync"
	"time"

	"rtdb/actor"
)

// crowdSize is the number of subscribers above which they are a crowd: their sessions run behind
// others. To write to so many clients takes a millisecond or less, and nobody is delayed for
// longer by subscribers that are not a crowd.
const crowdSize = 128

// maxHeld is the number of deliveries after which a crowd is woken, or a burst delivered, even if
// more updates follow at once: less than 10 ms of work. maxTogether is that number of updates, or of
// writes of a burst: so many do not make a session fall behind.
const (
	maxHeld     = 1 << 16
	maxTogether = 64
)

// maxWait is how long a crowd is held while other requests are handled, or a burst lasts. A merge
// of a long value takes a millisecond, and 256 of them may wait. Reads may come for ever, and a
// burst may go on with touches.
const maxWait = 5 * time.Millisecond

// A heldCrowd is the subscribers that the actor of a key or topic has delivered to and has not
// woken yet. The actor of a key wakes them together, also if they are few: then it can write to
// them itself (actor.Crowd.WakeFew).
type heldCrowd struct {
	held *hold // nil: none
}

type hold struct {
	crowd      actor.Crowd
	deliveries int
	updates    int
	many       bool // an update went to more than crowdSize
	since      time.Time
}

var holds = sync.Pool{New: func() any { return new(hold) }}

// of returns the crowd for an update with n subscribers.
func (h *heldCrowd) of(n int) *actor.Crowd {
	if h.held == nil {
		h.held = holds.Get().(*hold)
		h.held.since = time.Now()
	}
	h.held.deliveries += n
	h.held.updates++
	h.held.many = h.held.many || n > crowdSize
	return &h.held.crowd
}

// wake lets the sessions of the crowd write to their clients.
func (h *heldCrowd) wake() {
	if h.held != nil {
		if h.held.many {
			h.held.crowd.Wake()
		} else {
			h.held.crowd.WakeFew()
		}
		h.held.deliveries, h.held.updates, h.held.many = 0, 0, false
		holds.Put(h.held)
		h.held = nil
	}
}

// wakeBeforeMerge wakes the crowd if it was held for maxWait.
func (h *heldCrowd) wakeBeforeMerge() {
	if h.held != nil && time.Since(h.held.since) >= maxWait {
		h.wake()
	}
}

// wakeIfDue wakes the crowd if it was held for long, or if no other update follows at once.
// pending reports whether a request waits. A client that sends several requests, and not as a burst,
// has been answered a moment ago, and needs that moment to send the next one.
//
// Tried: actor.Yield in place of Gosched made more sends, 0.31 a delivery with 4 in flight
// instead of 0.28.
func (h *heldCrowd) wakeIfDue(pending func() bool) {
	if h.held == nil {
		return
	}
	if h.held.mayWait() {
		if pending() {
			return
		}
		if h.held.many {
			if runtime.Gosched(); pending() {
				return
			}
		}
	}
	h.wake()
}

// mayWait reports whether the crowd may wait for another update.
func (h *hold) mayWait() bool {
	return h.deliveries < maxHeld && h.updates < maxTogether && time.Since(h.since) < maxWait
}
