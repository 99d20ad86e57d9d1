package keyspace

import (
	"errors"
	"fmt"
	"time"

	"rtdb/actor"
)

// errNotDue is the result of an expiry if a write came first. Nobody waits for it.
var errNotDue = errors.New("keyspace: not due")

// write handles the requests of one run of writes in five steps: plan, commit,
// apply, answer, deliver. It answers after it has applied, because a read that
// follows the answer must see the write. It answers before it delivers, because a
// writer need not wait for the subscribers. If the actor runs on the writer's goroutine, the
// writer goes on when the update is delivered and, to a few subscribers, sent.
//
// The functions that write calls have small frames and get pointers, because all of
// them have to fit on the 2 KB stack that a goroutine begins with. To grow that
// stack costs a write of an idle key more than everything else (BenchmarkSet/idle:
// 2.2 µs instead of 0.8 µs).
//
// burst, which may be nil, may take the update. write returns the number of requests that it has
// handled. A run for a shared store may have no space for all.
func (k *key) write(requests []*request, burst *burst) (handled int) {
	r := runPool.Get().(*run)
	defer k.finish(r)
	r.burst, r.turn = burst, requests[0].turn
	n := k.plan(r, requests)
	if k.keyspace.shared != nil {
		n = k.agree(r, requests, n)
	} else if len(r.writes) > 0 {
		k.keyspace.progress.add(r)
		r.inProgress = true
		r.commitErr = k.commit(r.writes)
	}
	requests = requests[:n]
	switch {
	case r.commitErr != nil:
		k.retryExpiry()
		k.answerAll(r, requests)
	case len(r.writes) == 0:
		k.keyspace.expiries.set(k, r.expires) // a request may have been an expiry that was not due
		k.answerAll(r, requests)
	default:
		k.settle(r, requests)
	}
	return n
}

// settle applies the writes of a run that were committed, answers the requests, and delivers
// the updates.
func (k *key) settle(r *run, requests []*request) {
	k.keyspace.progress.assigned(r.writes[len(r.writes)-1].Version)
	for i := range r.writes {
		k.keyspace.apply(k.record, &r.writes[i], r)
	}
	if k.keyspace.shared != nil {
		k.keyspace.feed.applied(&r.writes[len(r.writes)-1])
	}
	k.keyspace.expiries.set(k, r.expires)
	k.answerAll(r, requests)
	for i := range r.writes {
		n := 0
		if w := &r.writes[i]; !w.Touch {
			n = k.deliver(w, r)
		}
		r.delivered++
		if k.unpaused += n; k.unpaused >= yieldAfter {
			k.unpaused = 0
			k.crowd.wake()
			actor.Yield()
		}
	}
}

// plan fills r with the writes that the requests make, and notes why other requests
// are refused. It returns the number of requests that the run has space for.
func (k *key) plan(r *run, requests []*request) int {
	r.began = time.Now()
	now := k.load()
	if k.expiry != nil {
		r.expires = k.expiry.expires
	}
	for i, q := range requests {
		q.refusal = nil
		if q.change.If != nil && !q.change.If(now.conditionVersion()) {
			q.refusal = newVersionError(now.conditionVersion())
		} else {
			now.value = k.planRequest(r, q, now.value)
		}
		if r.full {
			return i
		}
	}
	return len(requests)
}

// planRequest adds the write that one request makes to r, or refuses the request.
// It returns the key's value after the request.
func (k *key) planRequest(r *run, q *request, value []byte) []byte {
	c := &q.change
	switch {
	case q.op == opExpire && (r.expires.IsZero() || r.began.Before(r.expires)):
		q.refusal = errNotDue
		return value
	case q.op != opWrite && value == nil:
		q.refusal = ErrNotFound
		return value
	case q.op != opDelete && q.op != opExpire && k.keyspace.refuse != nil && k.refused(q):
		return value
	case k.keyspace.shared != nil && !r.takes(len(c.Value)):
		return value
	case q.op == opTouch: // only the time to live changes
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
		k.crowd.wakeBeforeMerge()
		merged, err := c.Merge(value)
		if err != nil {
			q.refusal = err
			return value
		}
		if k.keyspace.shared != nil && !r.takes(len(merged)) {
			return value
		}
		if q.refusal = k.keyspace.quota.grow(len(merged) - len(value)); q.refusal != nil {
			return value
		}
		value = merged
	}
	if c.TTL > 0 && value != nil {
		r.expires = r.began.Add(c.TTL)
	}
	r.writes = append(r.writes, Record{})
	w := &r.writes[len(r.writes)-1]
	w.Key, w.Value, w.Expires, w.Written = k.name, value, r.expires, r.began.UnixMilli()
	r.bytes += len(value)
	if q.op == opTouch {
		k.planTouch(w)
	}
	return value
}

// refused refuses a request that stores a value or a time if the store has no room. It
// reports whether it did.
func (k *key) refused(q *request) bool {
	if err := k.keyspace.refuse(); err != nil {
		q.refusal = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return q.refusal != nil
}

// planTouch makes w a touch of the key, which is alone in its run.
func (k *key) planTouch(w *Record) {
	now := k.load()
	w.Touch, w.Version, w.Written = true, now.version, now.written
}

// reserve reserves a place of the quota for a key that a request makes. If there is
// no place, it refuses the request and returns false.
func (k *key) reserve(r *run, q *request) bool {
	if r.reserved || k.load().value != nil { // the run deletes the key and makes it again
		return true
	}
	q.refusal = k.keyspace.quota.reserve()
	r.reserved = q.refusal == nil
	return r.reserved
}

func newVersionError(current uint64) error { return &VersionError{Current: current} }

// finish ends a run, even if the actor panicked, and returns it to the pool.
func (k *key) finish(r *run) {
	if r.reserved { // the key was not made
		k.keyspace.quota.release()
	}
	if r.inProgress {
		highest := uint64(0)
		if n := len(r.writes); n > 0 && r.commitErr == nil {
			highest = r.writes[n-1].Version
			if r.delivered < n { // a subscriber panicked, so a delete may have no tombstone
				k.keyspace.tombstones.forget(highest)
			}
		}
		k.keyspace.progress.remove(r, highest)
	}
	clear(r.writes)
	*r = run{writes: r.writes[:0]}
	runPool.Put(r)
}

func (k *key) commit(writes []Record) error {
	if err := k.keyspace.store.Commit(k.keyspace.lifetime, writes); err != nil {
		return fmt.Errorf("%w: commit %q: %w", ErrUnavailable, k.name, err)
	}
	return nil
}

// retryExpiry asks for the expiry again after a commit failed, because the failed
// run may have had the expiry in it.
func (k *key) retryExpiry() {
	if k.expiry != nil && !k.expiry.expires.After(time.Now()) {
		k.keyspace.expiries.retry(k.expiry)
	}
}

// after returns the state after a write.
func (s *state) after(w *Record) *state {
	if w.Touch { // the record of a touch need not have a value
		return &state{value: s.value, version: s.version, written: s.written, expires: afterEpoch(w.Expires)}
	}
	return &state{value: w.Value, version: w.Version, written: w.Written, expires: afterEpoch(w.Expires)}
}

// answerAll answers the requests of a run. If the commit failed, refused requests
// fail, too: the refusal may rest on a write that was never made.
func (k *key) answerAll(r *run, requests []*request) {
	next := 0
	for i, q := range requests {
		requests[i] = nil // a panic from here on must not answer it again
		var res result    // one for all cases: the frame must be small, see write
		switch {
		case r.commitErr != nil:
			res.err = r.commitErr
		case q.refusal != nil:
			res.err = q.refusal
		default:
			w := &r.writes[next]
			next++
			res = result{value: w.Value, version: w.Version, written: w.Written, expires: afterEpoch(w.Expires)}
		}
		q.answer(res)
	}
}

// deliver delivers a write to the subscribers of the key, and of the patterns that
// match the key, or leaves that to the write's burst. It returns the number of deliveries that it
// made; subscribers of several patterns are counted for each. In most cases no pattern matches.
// Then the patterns cost only a look at their generation, however many there are
// (BenchmarkSetBesidePatterns).
func (k *key) deliver(w *Record, r *run) int {
	p := &k.keyspace.patterns
	if w.Value == nil || !k.match.upToDate(p) || len(k.match.matchingSets()) > 0 {
		p.mu.RLock()
		defer p.mu.RUnlock()
		k.lookUpLocked(p, w)
	}
	sets := k.match.matchingSets()
	n := k.subscribers.count(sets)
	if n == 0 || r.burst != nil && r.burst.take(k, w, r, n) {
		return 0
	}
	k.bundled.deliver() // the burst did not take this update, and may have the last one
	k.subscribers.deliver(sets, k.newUpdate(w, r, n, k.crowd.of(n)))
	return n
}

// lookUpLocked looks up the patterns that match the key if they have changed, and notes
// that a write is delivered now. It remembers a delete. It needs the patterns' mu for reading.
func (k *key) lookUpLocked(p *patterns, w *Record) {
	if !k.match.upToDate(p) {
		k.match = p.lookUpLocked(k.name)
	}
	if w.Value == nil && k.load().version == w.Version { // no newer write follows in the run
		k.keyspace.tombstones.add(tombstone{name: k.name, version: w.Version, written: w.Written, deliveredAt: p.clock})
	}
	if len(k.match.matchingSets()) > 0 {
		k.match.deliveredAt = p.clock
	}
}

// newUpdate makes the update of a write with n deliveries.
func (k *key) newUpdate(w *Record, r *run, n int, crowd *actor.Crowd) *Update {
	if k.crowded.Load() != (n > crowdSize) {
		k.crowded.Store(n > crowdSize)
	}
	return &Update{
		Target: Key(k.name), Value: w.Value, Version: w.Version, Written: w.Written, At: time.Now(), Crowd: crowd,
		progress: &k.keyspace.progress, run: r,
	}
}
