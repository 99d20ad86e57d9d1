package session

import (
	"sync"
	"sync/atomic"
	"time"

	"rtdb/keyspace"
)

// LagInterval is the shortest time between two reports of one session's lag.
const LagInterval = 10 * time.Second

// A client lags if it has fallen behind (see behindUpdates), or if the oldest update that
// waits for it is older than lagAge. The two differ: a client that takes nothing while
// little is written lags, but its updates need no conflation.
//
// A client that has fallen behind is reported when its oldest update is behindAge old. A
// short burst that the client reads in time is not reported.
const (
	lagAge    = time.Second
	behindAge = 250 * time.Millisecond
)

// epoch is the start of lagWatch.reported. A duration is smaller than a [time.Time], and does
// not move when the clock is set.
var epoch = time.Now()

// afterLagAge is when an update is older than lagAge.
const afterLagAge = lagAge + time.Millisecond

// A lagWatch reports the lag of one session. Its timer is set in two cases:
//
//   - An update is queued, and the client has fallen behind.
//   - The Conn is asked to send, and may block. In a pool that happens only to a client
//     that did not take everything at once, so a client that keeps up has no timer.
//     Without a pool each Send may block. Then the timer is not stopped when Send returns:
//     a stream sets it once in a second, however often it sends. To set it for each send
//     would cost a busy stream more, and to wait for the next update would miss a client
//     that is stuck with the last one.
//
// When the timer fires, it is set again only if an update waits, or Send is under way.
type lagWatch struct {
	session *Session

	// watching is the age of an update for which the timer is set, or 0. It is changed
	// under mu.
	watching atomic.Int64
	sending  atomic.Bool // a call of Conn.Send is under way

	mu          sync.Mutex
	timer       *time.Timer
	stopped     bool
	hasReported bool
	reported    time.Duration // the time of the last report, after epoch
}

// beginSend notes that the Conn is asked to send.
func (w *lagWatch) beginSend() {
	w.sending.Store(true)
	w.watch(lagAge)
}

// endSend notes that the Conn has sent everything.
func (w *lagWatch) endSend() { w.sending.Store(false) }

// watch makes sure that the lag is looked at when an update that was written now has the
// age, lagAge or behindAge, or soon after.
func (w *lagWatch) watch(age time.Duration) {
	// It is called for each update while the client is behind.
	if set := w.watching.Load(); set != 0 && set <= int64(age) || w.session.options.OnLag == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if set := w.watching.Load(); set == 0 || set > int64(age) {
		wait := age
		if age == lagAge {
			wait = afterLagAge
		}
		w.setLocked(age, wait)
	}
}

// setLocked sets the timer, but not to a time at which there must be no report.
func (w *lagWatch) setLocked(age, wait time.Duration) {
	if w.stopped {
		return
	}
	if w.hasReported {
		wait = max(wait, w.reported+LagInterval-time.Since(epoch))
	}
	w.watching.Store(int64(age))
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.look)
	} else {
		w.timer.Reset(wait)
	}
}

// look reports the lag if it is due.
func (w *lagWatch) look() {
	if lag, due := w.measure(); due {
		w.session.options.OnLag(lag)
	}
}

// measure returns the lag, and whether it is to be reported. It sets the timer again if
// the session must be watched further.
func (w *lagWatch) measure() (lag Lag, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching.Store(0) // before the outbox is looked at: a later update starts the watch again
	if w.session.life.now() != open {
		return Lag{}, false
	}
	lag, due, age := w.session.box.lag()
	now := time.Since(epoch)
	if w.hasReported && now-w.reported < LagInterval {
		due = false // watch set the timer when it had already fired
	}
	if due {
		w.reported, w.hasReported = now, true
	}
	switch {
	case age == behindAge:
		w.setLocked(behindAge, behindAge)
	case age == lagAge:
		w.setLocked(lagAge, afterLagAge-lag.Oldest)
	case w.sending.Load():
		w.setLocked(lagAge, afterLagAge)
	}
	return lag, due
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

// lagLocked returns how far behind the client is, without the pending keys.
func (b *outbox) lagLocked() Lag {
	lag := Lag{PendingBytes: b.requested + b.pushed}
	for i := range b.inFlight {
		lag.PendingBytes += int64(len(b.inFlight[i].Text()))
	}
	for _, waiting := range [...][]Message{b.inFlight, b.items[b.head:]} { // the older ones first
		for i := range waiting {
			if age, ok := waiting[i].Age(); ok {
				lag.Oldest = age
				return lag
			}
		}
	}
	return lag
}

func (b *outbox) updatesInFlightLocked() (n uint64) {
	for i := range b.inFlight {
		if b.inFlight[i].update != nil {
			n++
		}
	}
	return n
}

// maxCounted is the number of updates up to which pendingKeysLocked looks at each. If
// more wait, almost all are of different keys, and counting them would hold the lock
// while the actors of keys wait for it.
const maxCounted = 4096

// pendingKeysLocked counts the keys and topics of which an update waits.
func (b *outbox) pendingKeysLocked() int {
	if n := int(b.updates) + int(b.updatesInFlightLocked()); n == 0 || n > maxCounted {
		return n
	}
	targets := make(map[keyspace.Target]struct{})
	for _, waiting := range [...][]Message{b.inFlight, b.items[b.head:]} {
		for i := range waiting {
			if u := waiting[i].update; u != nil {
				targets[u.Target] = struct{}{}
			}
		}
	}
	return len(targets)
}
