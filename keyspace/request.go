package keyspace

import (
	"maps"
	"sync"
)

// An op is what a request asks for.
type op uint8

const (
	opWrite  op = iota // a key's Change, a topic's publish
	opDelete           // a Change, too
	opExpire           // a delete that the clock asks for; nobody waits for the answer
	opRead
	opSubscribe
	opUnsubscribe
	opCatchUp // what the key holds, for who has subscribed to a pattern
)

// An ask is what a request asks for.
type ask struct {
	op         op
	change     Change      // of a write or delete; a publish has only its Value
	subscriber Subscriber  // of a subscribe or unsubscribe
	start      *Start      // of a subscribe or catch-up
	clock      uint64      // of a catch-up: when the subscription began
	grave      *tombstone  // of a catch-up with a key that was deleted by then
	then       func(Entry) // of a read: called in its place among the updates
}

// A request is the mail of key and topic actors. Each is answered once.
type request struct {
	ask
	outcome error // of a write; the actor's own note until the commit

	answered chan answer // has room for one; nil where nobody waits
}

// An answer is small, for it is copied on the stack of the actor.
type answer struct {
	value   []byte // of a write: what was written
	version uint64 // and at which version
	err     error
}

func (r *request) answer(a answer) {
	if r.answered != nil {
		r.answered <- a
	}
}

// A requestPool lets requests be used again: a request and its channel would
// otherwise be most of what a write allocates.
type requestPool struct {
	pool sync.Pool
}

func (p *requestPool) take(a ask) *request {
	r, ok := p.pool.Get().(*request)
	if !ok {
		r = &request{answered: make(chan answer, 1)}
	}
	r.ask = a
	return r
}

// put gives back a request that no actor holds.
func (p *requestPool) put(r *request) {
	r.ask, r.outcome = ask{}, nil
	p.pool.Put(r)
}

// subscribers is who gets the updates of one name or pattern. Only its actor,
// or who holds its lock, touches it.
type subscribers struct {
	set  map[Subscriber]struct{}
	peak int // what the map has had room for: a map does not shrink
}

func (s *subscribers) add(x Subscriber) {
	if s.set == nil {
		s.set = make(map[Subscriber]struct{}, 1)
	}
	s.set[x] = struct{}{}
	s.peak = max(s.peak, len(s.set))
}

// remove gives the map up where it is empty, or far too large.
func (s *subscribers) remove(x Subscriber) {
	const small = 64
	delete(s.set, x)
	switch n := len(s.set); {
	case n == 0:
		*s = subscribers{}
	case s.peak > small && n < s.peak/4:
		fresh := make(map[Subscriber]struct{}, n)
		maps.Copy(fresh, s.set)
		*s = subscribers{set: fresh, peak: n}
	}
}

func (s *subscribers) any() bool { return len(s.set) > 0 }

func (s *subscribers) has(x Subscriber) bool {
	_, ok := s.set[x]
	return ok
}

func (s *subscribers) deliver(u *Update) {
	for x := range s.set {
		x.Deliver(u)
	}
}

// settle answers what a panic left undone: it lets go of the subscribers that
// asked for that, and tells everybody else ErrInternal.
func (s *subscribers) settle(lost []*request) {
	for _, r := range lost {
		if r == nil {
			continue // had its answer before the panic
		}
		if r.op == opUnsubscribe {
			s.remove(r.subscriber)
			r.answer(answer{})
		} else {
			r.answer(answer{err: ErrInternal})
		}
	}
}
