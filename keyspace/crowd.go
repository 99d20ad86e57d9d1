package keyspace

import (
	"runtime"
	"sync"

	"rtdb/actor"
)

// crowdSize is the number of subscribers above which their sessions are woken together, as a
// crowd. To write to so many clients takes a millisecond or less, and nobody is delayed for
// longer by subscribers that are not a crowd.
const crowdSize = 128

// maxHeld is the number of deliveries after which a crowd is woken, even if more updates
// follow at once: less than 10 ms of work, and no longer than it takes to write to the crowd twice.
const maxHeld = 1 << 16

// A heldCrowd is the crowd that the actor of a key or topic has delivered to and has not
// woken yet.
type heldCrowd struct {
	crowd *actor.Crowd // nil: none
	held  int          // deliveries
}

var crowds = sync.Pool{New: func() any { return new(actor.Crowd) }}

// of returns the crowd for an update with n subscribers, nil if they are few.
func (h *heldCrowd) of(n int) *actor.Crowd {
	if n <= crowdSize {
		return nil
	}
	if h.crowd == nil {
		h.crowd = crowds.Get().(*actor.Crowd)
	}
	h.held += n
	return h.crowd
}

// wake lets the sessions of the crowd write to their clients.
func (h *heldCrowd) wake() {
	if h.crowd != nil {
		h.crowd.Wake()
		crowds.Put(h.crowd)
		*h = heldCrowd{}
	}
}

// wakeIfDue wakes the crowd if it was held for long, or if no other update follows at once.
// pending reports whether a request waits. A client that has sent several requests has been
// answered a moment ago, and needs that moment to send the next one.
func (h *heldCrowd) wakeIfDue(pending func() bool) {
	if h.crowd == nil {
		return
	}
	if h.held < maxHeld {
		if pending() {
			return
		}
		if runtime.Gosched(); pending() {
			return
		}
	}
	h.wake()
}
