package keyspace

import (
	"cmp"
	"sync/atomic"
	"time"

	"rtdb/actor"
)

// A key is the actor that owns one key. It handles the key's writes one after the
// other, and delivers the updates to the subscribers. A reader does not need the
// actor: it loads the state from the record.
//
// A key with a value, and nothing else, needs no actor. The next request spawns one.
type key struct {
	actor.Actor[*request]
	*record
	keyspace    *Keyspace
	subscribers subscribers
	match       *patternMatch // nil: the trie had no pattern yet
	expiry      *expiry       // nil: the key never expires
	crowd       heldCrowd
	crowded     atomic.Bool // the last update went to a crowd
	unpaused    int         // the deliveries of this batch since the actor last yielded
	bundled     bundled     // the last update, if it waits in a burst
}

// A state is the value and version after the key's last write.
type state struct {
	value   []byte // nil: deleted
	version uint64
	written int64         // Unix milliseconds
	expires time.Duration // after epoch; 0: never
}

// epoch is the start of state.expires. A duration is smaller than a [time.Time], and does
// not move when the clock is set.
var epoch = time.Now()

// afterEpoch returns a time as a duration after epoch, and 0 for the zero time.
func afterEpoch(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return cmp.Or(t.Sub(epoch), 1)
}

// timeToLive returns the time that is left until a duration after epoch, at least a
// nanosecond. It is 0 for 0.
func timeToLive(expires time.Duration) time.Duration {
	if expires == 0 {
		return 0
	}
	return max(1, expires-time.Since(epoch))
}

// clockShift returns how far the clock was set since epoch, in steps of 10 ms.
func clockShift() time.Duration {
	now := time.Now()
	return now.Round(0).Sub(epoch.Add(now.Sub(epoch)).Round(0)).Round(10 * time.Millisecond)
}

func (ks *Keyspace) newKey(r *record) *key {
	k := &key{record: r, keyspace: ks}
	k.crowded.Store(ks.patterns.crowds.Load() > 0) // until an update shows it
	k.InitHandler(k, actor.Options[*request]{})
	return k
}

// conditionVersion returns the version that a condition is asked about: 0 if the
// key has no value.
func (s state) conditionVersion() uint64 {
	if s.value == nil {
		return 0
	}
	return s.version
}

// needed reports whether the actor holds something that the record does not. An actor that
// a pattern matches stays, because to look the pattern up for each write would cost more
// than the write.
func (k *key) needed() bool {
	return !k.subscribers.empty() || k.load().value != nil && (k.expiry != nil || len(k.match.matchingSets()) > 0)
}

// quick reports that the store commits at once, or that its next commit is likely to be brief, and
// that the subscribers are no crowd, whose sessions the sender would have to wake. During a burst in
// memory it does so only at the end; a sender that others wait for does not deliver to a crowd at
// all. A sender with several writes for a store would commit them one by one.
func (k *key) quick(r *request) bool {
	if ks := k.keyspace; !ks.inMemory {
		return ks.brief != nil && ks.brief.Brief() && r.change.Burst == nil && !k.crowded.Load()
	}
	return !k.crowded.Load() || r.change.Burst != nil && r.change.Waiter == nil
}

// TryRun carries a request out for its sender.
func (k *key) TryRun(r *request) error {
	if w := r.change.Waiter; w != nil && !k.keyspace.inMemory {
		w.Pause()
		defer w.Resume()
	}
	return k.Actor.TryRun(r)
}

// Handle handles a batch of requests in order. Writes that follow each other are
// one run, and are committed together. A request between two runs sees the writes
// before it and none after it. A write with a condition begins a new run, because
// the condition needs the versions of the writes before it. A touch is a run of its
// own, because it needs the version of the write before it.
func (k *key) Handle(batch []*request) {
	k.unpaused = 0
	var burst *burst // may take the update, if nothing follows in the batch
	if len(batch) == 1 && k.keyspace.inMemory {
		burst = batch[0].burst
	}
	before, delivered := k.bundled, false
	if before.burst != burst {
		k.bundled = bundled{}
		delivered = before.deliver()
	}
	if k.keyspace.shared != nil {
		k.follow()
	}
	for len(batch) > 0 {
		n := 1
		if !batch[0].op.writes() {
			k.handleOther(batch)
		} else {
			for n < len(batch) && batch[0].op != opTouch && batch[n].joins() {
				n++
			}
			n = k.write(batch[:n], burst)
		}
		batch = batch[n:]
	}
	if k.keyspace.inMemory {
		k.crowd.wakeIfDue(k.Pending)
	} else {
		k.crowd.wake() // the next commit may take long
	}
	if delivered {
		before.wake()
	}
	if !k.needed() && k.Retire() {
		k.leave()
	}
}

// leave ends the actor, which has stopped, and so cannot take records. A key without a
// value leaves the table.
func (k *key) leave() {
	if k.load().value != nil {
		k.actor.CompareAndSwap(k, nil)
		return
	}
	if k.keyspace.shared != nil {
		k.keyspace.feed.forget(k.name)
	}
	k.actor.Store(gone)
	k.keyspace.records.remove(k.record)
}

// handleOther handles the first request of the batch, which is not a write.
func (k *key) handleOther(batch []*request) {
	r := batch[0]
	switch r.op {
	case opDeliver: // Handle has done it
	case opRead:
		r.then(k.entry())
	case opSubscribe:
		k.subscribers.add(r.subscriber)
		k.startSubscription(r.start)
	case opUnsubscribe:
		k.subscribers.remove(r.subscriber)
	case opCatchUp:
		k.catchUp(r.start, r.subscribedAt, r.deleted)
	}
	batch[0] = nil
	r.answer(result{})
}

// HandlePanic replaces the key with a successor after a panic. The successor has the
// state that readers see, the subscribers and the expiry. The requests that the key
// had not answered get ErrInternal. A write among them may have been committed, but
// readers do not see it.
func (k *key) HandlePanic(p actor.Panic[*request]) {
	k.bundled.deliver()
	k.crowd.wake()
	k.subscribers.answerLost(p.Lost)
	ks := k.keyspace
	if ks.shared != nil {
		k.remember()
	}
	if k.needed() {
		successor := ks.newKey(k.record)
		successor.subscribers = k.subscribers
		successor.match, successor.expiry = k.match, k.expiry // before anybody can write to it
		k.actor.Store(successor)
		if k.expiry != nil {
			ks.expiries.reassign(k.expiry, successor)
		}
	} else {
		k.leave()
	}
	if ks.shared != nil {
		ks.feed.rewake(k.name)
	}
	ks.onPanic(Panic{Target: Key(k.name), Value: p.Value, Stack: p.Stack})
}
