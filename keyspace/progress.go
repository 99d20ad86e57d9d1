package keyspace

import (
	"context"
	"sync"
)

// progress knows up to which version all writes are done. A write is done when
// readers see it and all subscribers have received it. The list holds the runs of
// writes that are in flight: from before the store gives them versions until their
// last update was delivered.
//
// The bound of a run is the highest version that was done when the run was added.
// The store gives a write a version above those of all writes that were committed
// before, so each write of the run is above its bound. Bounds never fall along the
// list, so no write that is in flight is at or below the bound of the first run.
type progress struct {
	mu              sync.Mutex
	highestDone     uint64 // the highest version of a write that is done
	highestAssigned uint64 // the highest version that the store gave to a write
	first, last     *run   // of the list, in the order of add

	// followed says that the store is shared. Then writes of other keyspaces may come at any
	// version above the one that the feed has reached, so only the feed raises highestDone.
	followed bool
	waiters  map[chan struct{}]uint64 // each waits until the revision reaches a version

	added   uint64        // the number of runs that were ever added
	settled chan struct{} // closed when the runs up to awaited have left the list; nil: settle does not wait
	awaited uint64
}

// start sets the version that was done before the first run.
func (p *progress) start(version uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.highestDone = version
}

// settle waits until every run that is in the list at the call has left it. Only one caller
// at a time may wait.
func (p *progress) settle() {
	p.mu.Lock()
	settled := make(chan struct{})
	p.settled, p.awaited = settled, p.added
	p.settleLocked()
	p.mu.Unlock()
	<-settled
}

func (p *progress) settleLocked() {
	if p.settled != nil && (p.first == nil || p.first.number > p.awaited) {
		close(p.settled)
		p.settled = nil
	}
}

// add adds a run to the list.
func (p *progress) add(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.added++
	r.number, r.bound, r.prev, r.next = p.added, p.highestDone, p.last, nil
	if p.last == nil {
		p.first = r
	} else {
		p.last.next = r
	}
	p.last = r
}

// addBehind adds a run to the list behind another one, with its number and its bound.
func (p *progress) addBehind(r, other *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.number, r.bound, r.prev, r.next = other.number, other.bound, other, other.next
	if other.next == nil {
		p.last = r
	} else {
		other.next.prev = r
	}
	other.next = r
}

// remove removes a run that is done from the list. highest is the highest version
// of its writes, or 0 if no write took effect.
func (p *progress) remove(r *run, highest uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.prev == nil {
		p.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		p.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	if !p.followed {
		p.highestDone = max(p.highestDone, highest)
	}
	p.settleLocked()
	p.wakeLocked()
}

// revision returns a version up to which all writes are done.
func (p *progress) revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revisionLocked()
}

func (p *progress) revisionLocked() uint64 {
	if p.first != nil {
		return p.first.bound
	}
	return p.highestDone
}

// revisionWithin returns the revision for a subscriber that receives the write with
// a version of a run. The subscriber has received the earlier writes of the run, so
// for this subscriber they are done.
func (p *progress) revisionWithin(r *run, version uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	other := p.first
	if other == r {
		other = r.next
	}
	switch {
	case other != nil:
		return min(other.bound, version)
	case p.followed:
		return min(p.highestDone, version)
	}
	return version
}

// assigned notes a version that the store gave to a write, before the write is
// delivered.
func (p *progress) assigned(version uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.highestAssigned = max(p.highestAssigned, version)
}

// highestKnown returns the highest version that a subscriber can know. A higher
// revision was not promised by this keyspace. If the store is shared, it may have been
// promised by another one; until this keyspace can promise it, too, it is not known.
func (p *progress) highestKnown() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.followed {
		return p.revisionLocked()
	}
	return max(p.highestDone, p.highestAssigned)
}

// advance notes that the feed has reached a version.
func (p *progress) advance(version uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.highestDone = max(p.highestDone, version)
	p.wakeLocked()
}

// wakeLocked ends the waits for the revision.
func (p *progress) wakeLocked() {
	if len(p.waiters) == 0 {
		return
	}
	revision := p.revisionLocked()
	for reached, awaited := range p.waiters {
		if awaited <= revision {
			close(reached)
			delete(p.waiters, reached)
		}
	}
}

// await returns when the revision has reached a version, or ctx has ended.
func (p *progress) await(ctx context.Context, version uint64) {
	p.mu.Lock()
	if version <= p.revisionLocked() {
		p.mu.Unlock()
		return
	}
	reached := make(chan struct{})
	if p.waiters == nil {
		p.waiters = map[chan struct{}]uint64{}
	}
	p.waiters[reached] = version
	p.mu.Unlock()
	select {
	case <-reached:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiters, reached)
	}
}

// Revision returns a version up to which all writes are done: readers see them, and
// the subscribers have received them. A write with a higher version may be done,
// too, while a write of another key is in flight.
func (ks *Keyspace) Revision() uint64 { return ks.progress.revision() }
