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
	sets  []*subscribers // of the patterns that match the key, and also each other key of the bundle
	burst *burst         // nil if there is no update
	Bundle

	// The subscribers that wait to be woken, also for updates of the burst that were delivered before:
	// those of keys with more than crowdSize, and the others.
	many, few  actor.Crowd
	deliveries int  // of all these updates
	panicked   bool // a subscriber did, and it was reported

	// run is in progress until the updates are delivered. Its bound is that of the first update's
	// run, below the versions of them all. So no revision passes an update that waits.
	run run
}

var bundles = sync.Pool{New: func() any { return new(bundle) }}

// takes reports whether the next update of a key fits into the bundle.
func (d *bundle) takes(k *key, version uint64) bool {
	n := len(d.Updates)
	return n == 0 || d.Updates[n-1].Version < version &&
		slices.Equal(d.sets, k.match.matchingSets()) && k.subscribers.equal(&d.key.subscribers)
}

// add adds the update of a write, with n deliveries. The write is in progress as r. If a pattern
// matches, the caller holds the lock of the patterns.
func (d *bundle) add(b *burst, k *key, w *Record, r *run, n int) {
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
	d.burst, d.key, d.sets, d.run, d.panicked = nil, nil, nil, run{}, false
	d.Bundle = Bundle{Updates: d.Updates[:0]}
}

// free returns an empty bundle, whose subscribers are woken, to the pool.
func (d *bundle) free() {
	d.deliveries = 0
	bundles.Put(d)
}

// deliverTo delivers the updates to a subscriber. A panic costs no other subscriber and no other
// update: after one in DeliverBundle, the updates are delivered one by one.
func (d *bundle) deliverTo(x Subscriber) {
	if b, ok := x.(BundleSubscriber); ok && d.try(func() { b.DeliverBundle(&d.Bundle) }) {
		return
	}
	for _, u := range d.Updates {
		d.try(func() { x.Deliver(u) })
	}
}

// try calls f, and reports whether it did not panic. The first panic of a bundle is reported, on a
// goroutine of its own, because this one holds locks.
func (d *bundle) try(f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		p := Panic{Target: d.Updates[0].Target, Value: recover(), Stack: debug.Stack()}
		if !d.panicked {
			d.panicked = true
			go d.key.keyspace.onPanic(p)
		}
	}()
	f()
	return true
}
