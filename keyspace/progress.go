package keyspace

import (
	"sync"
	"time"
)

// progress knows up to which version all writes are done: published, and told
// to whoever subscribed. Every run of writes is in its list from before the
// store numbers it until its last update is told.
//
// A run's bound is the highest version that was done when it began. The store numbers writes higher than all that were committed before,
// so each write of the run is above its bound; and as bounds only rise along
// the list, no write that is not done is below the first one's.
type progress struct {
	mu          sync.Mutex
	last        uint64 // the highest version of a write that is done
	taken       uint64 // the highest version that a store has given
	first, tail *run   // in the order in which they began
}

// A run is some writes of one key that are committed together.
type run struct {
	writes    []Write
	expires   time.Time // when the key expires by the last of them; zero is never
	failed    error     // the commit
	delivered int       // how many of the writes were delivered

	reserved   bool // it holds a place of the quota that no key has yet
	begun      bool // it is in the list
	bound      uint64
	prev, next *run
}

func (p *progress) begin(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.bound, r.prev, r.next = p.last, p.tail, nil
	if p.tail == nil {
		p.first = r
	} else {
		p.tail.next = r
	}
	p.tail = r
}

// end says that the run is done. last is its highest version, 0 where nothing
// came of it.
func (p *progress) end(r *run, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.prev == nil {
		p.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		p.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	p.last = max(p.last, last)
}

// revision returns a version up to which all writes are done.
func (p *progress) revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first != nil {
		return p.first.bound
	}
	return p.last
}

// revisionWithin returns the same for one who is about to be told the write of
// that version in run r, and was told all of r before it: to him those are done.
func (p *progress) revisionWithin(r *run, version uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	other := p.first
	if other == r {
		other = r.next
	}
	if other != nil {
		return min(other.bound, version)
	}
	return version
}

// take notes a version that the store has given, before anybody is told.
func (p *progress) take(version uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = max(p.taken, version)
}

// highest returns the highest version that anybody can know of: who resumes
// with a higher one is none of ours.
func (p *progress) highest() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.last, p.taken)
}
