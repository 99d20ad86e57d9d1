package keyspace

import (
	"runtime/debug"
	"slices"
	"sync"

	"rtdb/actor"
)

// A bundle is the updates of a burst that wait. All have the same subscribers, so they can be
// delivered to one subscriber after the other.
type bundle struct {
	key   *key           // of the first update: its subscribers are those of all
	sets  []*subscribers // of the patterns that match the key, and each other key
	burst *Burst         // nil if there is no update
	Bundle

	// The subscribers that wait to be woken, also for updates of the burst that were delivered before:
	// those of keys with more than crowdSize, and the others.
	many, few  actor.Crowd
	deliveries int // of all these updates

	// run is in progress until the updates are delivered. Its bound is that of the first update's
	// run, below the versions of them all. So no revision passes an update that waits.
	run run
}

var bundles = sync.Pool{New: func() any { return new(bundle) }}

// takes reports whether the next update of a key fits into the bundle.
func (d *bundle) takes(k *key, version uint64) bool {
	n := len(d.Updates)
	return n == 0 || d.Updates[n-1].Version < version && slices.Equal(d.sets, k.match.matchingSets()) && k.subscribers.equal(&d.key.subscribers)
}

// add adds the update of a write, with n deliveries. The write is in progress as r. If a pattern
// matches, the caller holds the lock of the patterns.
func (d *bundle) add(b *Burst, k *key, w *Record, r *run, n int) {
	if len(d.Updates) == 0 {
		d.burst, d.key, d.sets = b, k, k.match.matchingSets()
		k.keyspace.progress.addBehind(&d.run, r)
		if len(d.sets) > 0 {
			k.keyspace.patterns.addBurst(b)
		}
	}
	crowd := &d.few
	if n > crowdSize {
		crowd = &d.many
	}
	d.deliveries += n
	d.Updates = append(d.Updates, k.newUpdate(w, &d.run, n, crowd))
}

// deliver delivers the updates, and empties the bundle.
func (d *bundle) deliver() {
	n := len(d.Updates)
	if n == 0 {
		return
	}
	ks := d.key.keyspace
	d.key.subscribers.each(d.sets, d.deliverTo)
	ks.progress.remove(&d.run, d.Updates[n-1].Version)
	if len(d.sets) > 0 {
		ks.patterns.removeBurst(d.burst)
	}
	clear(d.Updates)
	d.burst, d.key, d.sets, d.Bundle = nil, nil, nil, Bundle{Updates: d.Updates[:0]}
}

// deliverTo delivers the updates to a subscriber. If that panics, the other subscribers get them all
// the same.
func (d *bundle) deliverTo(x Subscriber) {
	defer func() {
		if v := recover(); v != nil {
			d.key.keyspace.onPanic(Panic{Target: d.Updates[0].Target, Value: v, Stack: debug.Stack()})
		}
	}()
	if b, ok := x.(BundleSubscriber); ok {
		b.DeliverBundle(&d.Bundle)
		return
	}
	for _, u := range d.Updates {
		x.Deliver(u)
	}
}
