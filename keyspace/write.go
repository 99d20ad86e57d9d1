package keyspace

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// errNotDue is the outcome of an expiry that a write came before.
var errNotDue = errors.New("keyspace: not due")

// runs are pooled, for what they write grows with the load.
var runs = sync.Pool{New: func() any { return new(run) }}

// write handles a run of writes: check, commit, publish, answer, tell. The
// answer comes before the updates, for a writer need not wait for others to
// be told; it comes after the publication, for a read that follows the answer
// must see the write.
//
// What is called here has small frames, and gets pointers: all of it has to fit
// on the 2 KB stack that a goroutine begins with. To grow that costs an idle
// key's write more than everything else (BenchmarkSet/idle: 2.2 µs, not 0.8).
func (k *key) write(requests []*request) {
	r := runs.Get().(*run)
	defer k.finish(r)
	k.plan(r, requests)
	if len(r.writes) == 0 {
		k.keyspace.expiries.set(k, r.expires) // it was asked to expire, perhaps, and was not due
		k.answer(r, requests)
		return
	}
	k.keyspace.progress.begin(r)
	r.begun = true
	if r.failed = k.commit(r.writes); r.failed != nil {
		k.retryExpiry()
		k.answer(r, requests)
		return
	}
	k.keyspace.progress.take(r.writes[len(r.writes)-1].Version)
	for i := range r.writes {
		k.advance(&r.writes[i], r)
	}
	k.keyspace.expiries.set(k, r.expires)
	k.answer(r, requests)
	for i := range r.writes {
		k.tell(&r.writes[i], r)
		r.delivered++
	}
}

// finish ends a run, also where it panicked, and gives it back.
func (k *key) finish(r *run) {
	if r.reserved { // and it was not made
		k.keyspace.quota.release()
	}
	if r.begun {
		last := uint64(0)
		if n := len(r.writes); n > 0 && r.failed == nil {
			last = r.writes[n-1].Version
			if r.delivered < n { // a subscriber panicked
				k.keyspace.tombstones.lose(last)
			}
		}
		k.keyspace.progress.end(r, last)
	}
	clear(r.writes)
	*r = run{writes: r.writes[:0]}
	runs.Put(r)
}

// retryExpiry is for a run that failed, and may have had an expiry in it.
func (k *key) retryExpiry() {
	if k.expiry != nil && !k.expiry.at.After(time.Now()) {
		k.keyspace.expiries.retry(k.expiry)
	}
}

// plan fills r with the writes that the requests come to, and notes the
// outcome of the others.
func (k *key) plan(r *run, requests []*request) {
	now := k.load()
	if k.expiry != nil {
		r.expires = k.expiry.at
	}
	for _, q := range requests {
		q.refusal = nil
		if q.change.If != nil && !q.change.If(now.current()) {
			q.refusal = newVersionError(now.current())
		} else {
			now.value = k.apply(r, q, now.value)
		}
	}
}

// apply adds what one request comes to, and returns the value after it.
func (k *key) apply(r *run, q *request, value []byte) []byte {
	c := &q.change
	switch {
	case q.op == opExpire && (r.expires.IsZero() || time.Now().Before(r.expires)):
		q.refusal = errNotDue
		return value
	case q.op != opWrite && value == nil:
		q.refusal = ErrNotFound
		return value
	case q.op != opWrite:
		value, r.expires = nil, time.Time{}
	case value == nil && !k.reserve(r, q):
		return nil
	case c.Merge == nil:
		if q.refusal = k.keyspace.quota.grow(len(c.Value) - len(value)); q.refusal != nil {
			return value
		}
		value, r.expires = c.Value, time.Time{}
	default:
		merged, err := c.Merge(value)
		if err != nil {
			q.refusal = err
			return value
		}
		if q.refusal = k.keyspace.quota.grow(len(merged) - len(value)); q.refusal != nil {
			return value
		}
		value = merged
	}
	if c.TTL > 0 {
		r.expires = time.Now().Add(c.TTL)
	}
	r.writes = append(r.writes, Write{})
	w := &r.writes[len(r.writes)-1]
	w.Key, w.Value, w.Expires = k.name, value, r.expires
	return value
}

// reserve takes a place of the quota for a key that a request makes. If there is
// none it refuses the request, and returns false.
func (k *key) reserve(r *run, q *request) bool {
	if r.reserved || k.load().value != nil { // it is deleted and made again in one run
		return true
	}
	q.refusal = k.keyspace.quota.reserve()
	r.reserved = q.refusal == nil
	return r.reserved
}

func newVersionError(current uint64) error { return &VersionError{Current: current} }

// current is the version that conditions are asked about.
func (s state) current() uint64 {
	if s.value == nil {
		return 0
	}
	return s.version
}

func (k *key) commit(writes []Write) error {
	if err := k.keyspace.store.Commit(k.keyspace.lifetime, writes); err != nil {
		return fmt.Errorf("%w: commit %q: %w", ErrUnavailable, k.name, err)
	}
	return nil
}

// answer answers the requests of a run. Where its commit failed so did what was
// refused: it may have been so by a write that was not made.
func (k *key) answer(r *run, requests []*request) {
	next := 0
	for i, q := range requests {
		requests[i] = nil // answered, whatever happens from here on
		switch {
		case r.failed != nil:
			q.answer(result{err: r.failed})
		case q.refusal != nil:
			q.answer(result{err: q.refusal})
		default:
			w := &r.writes[next]
			next++
			q.answer(result{value: w.Value, version: w.Version})
		}
	}
}

// advance makes the key's state that of a committed write, unless it is past
// it: one that comes twice, or late, changes nothing. r is nil where the write was
// made before.
func (k *key) advance(w *Write, r *run) {
	now := k.load()
	if w.Version <= now.version {
		return
	}
	k.state.Store(&state{value: w.Value, version: w.Version})
	switch made, gone := now.value == nil, w.Value == nil; {
	case made && !gone:
		if r == nil || !r.reserved {
			k.keyspace.quota.keys.Add(1)
		} else {
			r.reserved = false
		}
		k.keyspace.tombstones.forget(k.name)
		k.keyspace.index.insert(k)
	case gone && !made:
		k.keyspace.quota.release()
		k.keyspace.index.remove(k)
	}
}

// tell tells the subscribers of the key, and of the patterns that match it.
// Most often no pattern does, and that costs one look at the trie's shape,
// however many there are (BenchmarkSetBesidePatterns).
func (k *key) tell(w *Write, r *run) {
	p := &k.keyspace.patterns
	if w.Value != nil && k.view.at() == p.shape.Load() && len(k.view.matches()) == 0 {
		if k.subscribers.any() {
			k.subscribers.deliver(k.update(w, r))
		}
		return
	}
	k.tellAll(p, w, r)
}

// tellAll tells the subscribers of the patterns, too.
func (k *key) tellAll(p *patterns, w *Write, r *run) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if k.view.at() != p.shape.Load() {
		k.view = p.lookLocked(k.name)
	}
	if w.Value == nil && k.load().version == w.Version { // else a newer write is behind it in the run
		k.keyspace.tombstones.bury(k.name, w.Version, p.clock)
	}
	sets := k.view.matches()
	if len(sets) > 0 {
		k.view.delivered = p.clock
	} else if !k.subscribers.any() {
		return
	}
	u := k.update(w, r)
	k.subscribers.deliver(u)
	for i, set := range sets {
		for _, x := range set.list {
			if !k.delivers(x, sets[:i]) {
				x.Deliver(u)
			}
		}
	}
}

func (k *key) update(w *Write, r *run) *Update {
	return &Update{Target: Key(k.name), Value: w.Value, Version: w.Version, At: time.Now(), progress: &k.keyspace.progress, run: r}
}

// delivers reports whether x is a subscriber of the key itself, or is in one of
// sets.
func (k *key) delivers(x Subscriber, sets []*subscribers) bool {
	if k.subscribers.has(x) {
		return true
	}
	for _, set := range sets {
		if set.has(x) {
			return true
		}
	}
	return false
}
