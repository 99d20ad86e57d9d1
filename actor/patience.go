package actor

import (
	"sync/atomic"
	"time"
)

// Patience decides whether an actor that has run in a round waits for the next one. The wait
// joins messages that come one after the other. But if the sender waits for the actor before it
// sends more, there is nothing to join: a client that writes a key and waits for the update
// before the next write would make one write in each round, 830 a second instead of 12,000
// (BenchmarkFanoutFew/subscribers=1).
//
// So an actor that has waited in vain four times in a row does not wait the next four times. After
// each further wait in vain it is twice as many times, up to 1024. A wait that was not in vain
// makes the actor patient again.
type patience struct {
	waited  atomic.Bool // the messages of the next run have waited
	vain    uint8       // waits in a row that were in vain
	hurried uint16      // how many times the actor need not wait
}

const (
	fewVain  = 4  // waits in vain, after which the actor hurries
	mostVain = 12 // counted
)

// vainPart is the part of a round in which the messages came if the wait for its end was in vain.
// Messages that come evenly take most of a round.
const vainPart = 4

// hurriesLocked reports whether the actor need not wait this time.
func (w *patience) hurriesLocked() bool {
	if w.hurried == 0 {
		return false
	}
	w.hurried--
	return true
}

// learnLocked notes whether a wait was in vain.
func (w *patience) learnLocked(vain bool) {
	if !vain {
		w.vain, w.hurried = 0, 0
		return
	}
	w.vain = min(w.vain+1, mostVain)
	if w.vain >= fewVain {
		w.hurried = fewVain << (w.vain - fewVain)
	}
}

// Waited reports whether the messages of this run have waited for the pool's next round. It
// reports each wait once, also if TryRun has ended the wait. Only the handler of an actor that has a pool may call it. A handler that
// calls Waited and Gathered gets its messages earlier if waiting is in vain.
func (a *Actor[M]) Waited() bool {
	waited := &a.extra.task.waited
	return waited.Load() && waited.Swap(false)
}

// Gathered tells the pool, if Waited has reported true, how much later than the first of the
// messages the last one came. If they came in a short part of the round, the wait was in vain.
func (a *Actor[M]) Gathered(within time.Duration) {
	p, t := a.extra.pool, &a.extra.task
	p.mu.Lock()
	defer p.mu.Unlock()
	t.learnLocked(within < p.Interval/vainPart)
}
