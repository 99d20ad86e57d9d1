package bench

import "sync/atomic"

// A subscriber that is this far behind what was written is not yet one whose
// updates the server conflates: that begins past 256 updates or 64 KiB that
// wait.
const (
	windowUpdates = 200
	windowBytes   = 48 << 10
)

// A window is what of one key may be under way where the publishers go as fast
// as the subscribers keep up. It counts for the newest writes how many
// subscribers they have reached. The last that a write reaches opens the window,
// and wakes the publisher; the others add one and go on.
type window struct {
	width   uint64
	fanout  int64 // the subscribers that are waited for
	reached []atomic.Int64
	written atomic.Uint64
	done    atomic.Uint64  // writes that all have
	flow    *publisherFlow // of the key's publisher
}

// A publisherFlow is what of all keys of a publisher may be under way.
type publisherFlow struct {
	width uint64
	done  atomic.Uint64
	wake  chan struct{} // has a token when something may go on
}

// newWindows returns one for each key, or none where a rate says how fast to
// write. A subscriber never has more than limit updates under way: each key has
// its share, and where that is less than one, each publisher has.
func newWindows(p plan, limit uint64, flows []*publisherFlow) []*window {
	limit = max(limit, 1)
	perKey := max(limit/uint64(p.subscriptions), 1)
	perPublisher := uint64(windowTotal)
	if uint64(p.subscriptions) > limit {
		perPublisher = limit
	}
	for _, f := range flows {
		f.width = max(perPublisher/uint64(p.publishers), 1)
	}
	windows := make([]*window, p.keys)
	for key, fanout := range p.fanout() {
		windows[key] = &window{
			width: perKey, fanout: fanout,
			reached: make([]atomic.Int64, perKey),
			flow:    flows[key%p.publishers],
		}
	}
	return windows
}

// windowTotal is how much of all keys is under way at most. More of it makes
// nothing faster, only later.
const windowTotal = 2000

func newFlow() *publisherFlow {
	return &publisherFlow{wake: make(chan struct{}, 1)}
}

func (f *publisherFlow) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// open says whether the publisher, which has begun so many writes of all its
// keys that are waited for, may begin one of this key.
func (w *window) open(begun uint64) bool {
	if w.fanout == 0 {
		return true
	}
	return w.written.Load()-w.done.Load() < w.width && begun-w.flow.done.Load() < w.flow.width
}

// credit says that a subscriber is past the writes after from, up to to. The
// counts are never reset, so a write that is counted late does not meet the
// next one in its place: the nth in a place is reached by n times the fanout.
func (w *window) credit(from, to uint64) {
	for n := from + 1; n <= to; n++ {
		turn := int64((n-1)/w.width) + 1
		if w.reached[(n-1)%w.width].Add(1) == turn*w.fanout {
			w.done.Add(1)
			w.flow.done.Add(1)
			w.flow.rouse()
		}
	}
}
