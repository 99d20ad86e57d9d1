package keyspace

import (
	"errors"
	"sync"
	"time"
)

// errNotDue is the result of an expiry if a write came first. Nobody waits for it.
var errNotDue = errors.New("keyspace: not due")

// A run is the writes of one key that are committed together.
type run struct {
	writes    []Write
	expires   time.Time // when the key expires after the last write; zero: never
	commitErr error     // the result of the commit
	delivered int       // the number of writes that were delivered

	reserved   bool // the run holds a place of the quota, and the key is not made yet
	inProgress bool // the run is in the list of the keyspace's progress
	bound      uint64
	prev, next *run
}

// runPool reuses runs, because the slice of writes grows with the load.
var runPool = sync.Pool{New: func() any { return new(run) }}

// plan fills r with the writes that the requests make, and notes why other requests
// are refused.
func (k *key) plan(r *run, requests []*request) {
	now := k.load()
	if k.expiry != nil {
		r.expires = k.expiry.expires
	}
	for _, q := range requests {
		q.refusal = nil
		if q.change.If != nil && !q.change.If(now.conditionVersion()) {
			q.refusal = newVersionError(now.conditionVersion())
		} else {
			now.value = k.planRequest(r, q, now.value)
		}
	}
}

// planRequest adds the write that one request makes to r, or refuses the request.
// It returns the key's value after the request.
func (k *key) planRequest(r *run, q *request, value []byte) []byte {
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
