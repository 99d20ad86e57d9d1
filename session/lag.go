package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// LagInterval is the shortest time between two reports of one session's lag.
const LagInterval = 10 * time.Second

// lagDelay is how long a client must be behind before it is reported. A short burst that
// the client reads in time is not reported.
const lagDelay = 250 * time.Millisecond

// A lagWatch reports the lag of one session. It has a timer only if the session
// has been behind.
type lagWatch struct {
	box    *outbox
	life   *life
	report func(Lag) // may be nil

	watching atomic.Bool // the timer is set; changed under mu

	mu       sync.Mutex
	timer    *time.Timer
	reported time.Time
	stopped  bool
}

// start makes sure that the session's lag is looked at soon.
func (w *lagWatch) start() {
	if w.report == nil || w.watching.Load() { // start is called for each update while the client is behind
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.startLocked()
}

func (w *lagWatch) startLocked() {
	if w.stopped || w.watching.Load() {
		return
	}
	w.watching.Store(true)
	wait := max(lagDelay, LagInterval-time.Since(w.reported))
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.look)
	} else {
		w.timer.Reset(wait)
	}
}

// look reports the lag if the client is still behind.
func (w *lagWatch) look() {
	if lag, late := w.measure(); late {
		w.report(lag)
	}
}

// measure returns the lag, and whether it is to be reported.
func (w *lagWatch) measure() (lag Lag, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching.Store(false) // before the outbox is looked at: a later update starts the watch again
	if w.life.now() != open {
		return lag, false
	}
	lag, behind := w.box.lag(lagDelay)
	if !behind {
		return lag, false
	}
	if late = lag.Behind >= lagDelay; late { // else it has caught up, and is behind again
		w.reported = time.Now()
	}
	w.startLocked()
	return lag, late
}

// stop ends the watch.
func (w *lagWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
