package keyspace

import (
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
