package keyspace

import (
	"runtime/debug"
	"sync"

	"rtdb/actor"
)

// A bundle is updates of a burst that have the same subscribers. They wait until all can be
// delivered to one subscriber after the other.
type bundle struct {
	key     *key // of the first update: its subscribers are those of all
	updates []*Update
	crowd   actor.Crowd // of these updates, and of those of the burst that were delivered before

	// run is in progress until the updates are delivered. Its bound is that of the first update's
	// run, below the versions of them all. So no revision passes an update that waits.
	run run
}

var bundles = sync.Pool{New: func() any { return new(bundle) }}

// takes reports whether the next update of a key fits into the bundle.
func (d *bundle) takes(k *key, version uint64) bool {
	n := len(d.updates)
	return n == 0 || d.updates[n-1].Version < version && k.subscribers.equal(&d.key.subscribers)
}

// add adds the update of a write, which is in progress as r.
func (d *bundle) add(k *key, w *Record, r *run) {
	if len(d.updates) == 0 {
		d.key = k
		k.keyspace.progress.addBehind(&d.run, r)
	}
	d.updates = append(d.updates, k.newUpdate(w, &d.run, k.subscribers.len(), &d.crowd))
}

// deliver delivers the updates, and empties the bundle.
func (d *bundle) deliver() {
	n := len(d.updates)
	if n == 0 {
		return
	}
	for _, x := range d.key.subscribers.set.All() {
		d.deliverTo(x)
	}
	d.key.keyspace.progress.remove(&d.run, d.updates[n-1].Version)
	clear(d.updates)
	d.key, d.updates = nil, d.updates[:0]
}

// deliverTo delivers the updates to a subscriber. If that panics, the other subscribers get them all
// the same.
func (d *bundle) deliverTo(x Subscriber) {
	defer func() {
		if v := recover(); v != nil {
			d.key.keyspace.onPanic(Panic{Target: d.updates[0].Target, Value: v, Stack: debug.Stack()})
		}
	}()
	if b, ok := x.(BundleSubscriber); ok {
		b.DeliverBundle(d.updates)
		return
	}
	for _, u := range d.updates {
		x.Deliver(u)
	}
}

// bundled says where an update of a key waits. Only the key's actor may use it.
type bundled struct {
	burst *Burst // nil: none waits
	wait  uint64 // the number of the burst's wait
}

// deliver delivers the update if it still waits, with all of its burst.
func (x *bundled) deliver() {
	if x.burst != nil {
		x.burst.endWait(x.wait)
		*x = bundled{}
	}
}
