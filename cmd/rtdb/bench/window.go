package bench

import "sync/atomic"

// Without a rate, windows limit the updates that are on their way to a subscriber to
// these numbers. They are below the server's own limits: it conflates the updates of a
// session when more than 256 of them, or more than 64 KiB, wait.
const (
	unconflatedUpdates = 200
	unconflatedBytes   = 48 << 10
)

// maxInFlight limits the writes of all keys that are on their way. A higher limit adds
// latency and no throughput.
const maxInFlight = 2000

// A keyWindow limits the writes of one key that have not reached all subscribers of
// the key. It counts, for each of the newest writes, the subscribers that have received
// the write or a newer one. The last of them advances the window and wakes the
// publisher; the others only add one.
type keyWindow struct {
	size      uint64         // limit of writes
	fanout    int64          // subscribers that the window waits for
	reached   []atomic.Int64 // a ring of counters, see credit
	written   atomic.Uint64  // number of the newest write
	completed atomic.Uint64  // writes that have reached all subscribers
	publisher *publisherWindow
}

// A publisherWindow limits the writes of all keys of one publisher that have not
// reached all their subscribers.
type publisherWindow struct {
	size      uint64 // limit of writes
	completed atomic.Uint64
	wake      chan struct{} // has a token after a change that may open a window
}

func newPublisherWindow() *publisherWindow {
	return &publisherWindow{wake: make(chan struct{}, 1)}
}

// newKeyWindows returns a window for each key and sets the sizes of the publishers'
// windows. A subscriber has at most limit updates on their way: its keys share the
// limit or, if it has more keys than that, the publishers share it. Every key and
// every publisher may have at least one write on its way.
func newKeyWindows(p plan, limit uint64, publishers []*publisherWindow) []*keyWindow {
	limit = max(limit, 1)
	perKey := max(limit/uint64(p.subscriptions), 1)
	ofPublishers := uint64(maxInFlight)
	if uint64(p.subscriptions) > limit {
		ofPublishers = limit
	}
	for _, w := range publishers {
		w.size = max(ofPublishers/uint64(p.publishers), 1)
	}
	windows := make([]*keyWindow, p.keys)
	for key, fanout := range p.fanouts() {
		windows[key] = &keyWindow{
			size: perKey, fanout: fanout,
			reached:   make([]atomic.Int64, perKey),
			publisher: publishers[key%p.publishers],
		}
	}
	return windows
}

// notify wakes the publisher if it waits, or else at its next wait.
func (w *publisherWindow) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// isOpen reports whether the publisher may write the key. windowed is the number of
// its writes so far, without those of keys that have no fanout.
func (w *keyWindow) isOpen(windowed uint64) bool {
	if w.fanout == 0 {
		return true
	}
	return w.written.Load()-w.completed.Load() < w.size && windowed-w.publisher.completed.Load() < w.publisher.size
}

// credit records that one subscriber has passed the writes after from, up to and
// including to. Each subscriber credits each write once; any number of goroutines may
// call credit.
//
// Writes that are w.size apart share a counter. Counters are never reset, so that a
// late credit cannot count for the next write in its place: the nth write of a counter
// is complete when the counter reaches n times the fanout.
func (w *keyWindow) credit(from, to uint64) {
	for sequence := from + 1; sequence <= to; sequence++ {
		nth := int64((sequence-1)/w.size) + 1
		if w.reached[(sequence-1)%w.size].Add(1) == nth*w.fanout {
			w.completed.Add(1)
			w.publisher.completed.Add(1)
			w.publisher.notify()
		}
	}
}
