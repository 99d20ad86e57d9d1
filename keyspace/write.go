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
func (k *key) write(requests []*request) {
	r := runs.Get().(*run)
	defer func() {
		clear(r.writes)
		*r = run{writes: r.writes[:0]}
		runs.Put(r)
	}()
	expires := k.plan(r, requests)
	if len(r.writes) == 0 {
		k.answer(r, requests, nil)
		return
	}

	progress := &k.keyspace.progress
	progress.begin(r)
	last := uint64(0)
	defer func() { progress.end(r, last) }()
	if err := k.commit(r.writes); err != nil {
		if k.expiry != nil && !k.expiry.at.After(time.Now()) { // it was asked to be, and is not
			k.keyspace.expiries.retry(k.expiry)
		}
		k.answer(r, requests, err)
		return
	}
	for _, w := range r.writes {
		k.advance(w)
		last = w.Version
	}
	k.keyspace.expiries.set(k, expires)
	k.answer(r, requests, nil)
	for _, w := range r.writes {
		k.tell(w, r)
	}
}

// plan fills r with the writes that the requests come to, and notes the
// outcome of the others. It returns when the key expires by the last of them.
func (k *key) plan(r *run, requests []*request) (expires time.Time) {
	now := k.load()
	if k.expiry != nil {
		expires = k.expiry.at
	}
	for _, q := range requests {
		c := &q.change
		q.outcome = nil
		switch {
		case c.If != nil && !c.If(now.current()):
			q.outcome = &VersionError{Current: now.current()}
		case q.op == opWrite:
			value := c.Value
			if c.Merge != nil {
				value, q.outcome = c.Merge(now.value)
			}
			if q.outcome != nil {
				continue
			}
			switch {
			case c.TTL > 0:
				expires = time.Now().Add(c.TTL)
			case c.Merge == nil:
				expires = time.Time{}
			}
			now.value = value
			r.writes = append(r.writes, Write{Key: k.name, Value: value, Expires: expires})
		case q.op == opExpire && (expires.IsZero() || time.Now().Before(expires)):
			q.outcome = errNotDue
		case now.value == nil:
			q.outcome = ErrNotFound
		default:
			now.value, expires = nil, time.Time{}
			r.writes = append(r.writes, Write{Key: k.name})
		}
	}
	return expires
}

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

// answer answers the requests of a run; err is the commit's. Where that failed
// so did what was refused: it may have been so by a write that was not made.
func (k *key) answer(r *run, requests []*request, err error) {
	next := 0
	for i, q := range requests {
		requests[i] = nil // answered, whatever happens from here on
		switch {
		case err != nil:
			q.answer(answer{err: err})
		case q.outcome != nil:
			q.answer(answer{err: q.outcome})
		default:
			w := r.writes[next]
			next++
			q.answer(answer{entry: Entry{Key: k.name, Value: w.Value, Version: w.Version}})
		}
	}
}

// advance makes the key's state that of a committed write, unless it is past
// it: one that comes twice, or late, changes nothing.
func (k *key) advance(w Write) {
	now := k.load()
	if w.Version <= now.version {
		return
	}
	k.state.Store(&state{value: w.Value, version: w.Version})
	switch made, gone := now.value == nil, w.Value == nil; {
	case made && !gone:
		k.keyspace.tombstones.forget(k.name)
		k.keyspace.index.insert(k)
	case gone && !made:
		k.keyspace.index.remove(k)
	}
}

// tell tells the subscribers of the key, and of the patterns that match it.
// Most often no pattern does, and that costs one look at the trie's shape,
// however many there are (BenchmarkSetBesidePatterns).
func (k *key) tell(w Write, r *run) {
	p := &k.keyspace.patterns
	if w.Value != nil && k.view.at() == p.shape.Load() && len(k.view.matches()) == 0 {
		if k.subscribers.any() {
			k.subscribers.deliver(k.update(w, r))
		}
		return
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if k.view.at() != p.shape.Load() {
		k.view = p.lookLocked(k.name)
	}
	if w.Value == nil {
		k.keyspace.tombstones.bury(k.name, w.Version, p.clock)
	}
	sets := k.view.matches()
	if len(sets) > 0 {
		k.view.told = p.clock
	} else if !k.subscribers.any() {
		return
	}
	u := k.update(w, r)
	k.subscribers.deliver(u)
	for i, set := range sets {
		for x := range set.set {
			if !k.tells(x, sets[:i]) {
				x.Deliver(u)
			}
		}
	}
}

func (k *key) update(w Write, r *run) *Update {
	return &Update{Key: k.name, Value: w.Value, Version: w.Version, progress: &k.keyspace.progress, run: r}
}

// tells reports whether x is told of the key by itself, or by one of sets.
func (k *key) tells(x Subscriber, sets []*subscribers) bool {
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
