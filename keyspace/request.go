package keyspace

import (
	"sync"
)

// An op is the kind of a request.
type op uint8

const (
	opWrite  op = iota // a key's Change that is not a delete; a topic's publish
	opDelete           // a Change that deletes the key
	opExpire           // a delete because the time to live is over; nobody waits for its result
	opRead
	opSubscribe
	opUnsubscribe
	opCatchUp // passes what the key holds to a new subscriber of a pattern
)

// writes reports whether a key's request of this kind changes the key.
func (o op) writes() bool {
	switch o {
	case opWrite, opDelete, opExpire:
		return true
	}
	return false
}

// A task says what a request wants from the actor.
type task struct {
	op         op
	change     Change      // of a write or delete; a publish has only its Value
	subscriber Subscriber  // of a subscribe or unsubscribe
	start      *Start      // of a subscribe or catch-up
	clock      uint64      // of a catch-up: when the subscription began
	grave      *tombstone  // of a catch-up with a key that was deleted by then
	then       func(Entry) // of a read: called in its place among the updates
}

// A request is the mail of key and topic actors. Each request is answered once.
type request struct {
	task
	refusal error // why a write is refused; the actor sets it before the commit

	results chan result // has room for one; nil if nobody waits
}

// A result is what became of a request. It is small, because the actor copies it
// on its stack.
type result struct {
	value   []byte // of a write: the value after it
	version uint64 // of a write: its version
	err     error
}

// answer sends the result to the caller that waits for it.
func (r *request) answer(res result) {
	if r.results != nil {
		r.results <- res
	}
}

// A requestPool reuses requests: a request and its channel would otherwise be
// most of what a write allocates.
type requestPool struct {
	pool sync.Pool
}

func (p *requestPool) take(t task) *request {
	r, ok := p.pool.Get().(*request)
	if !ok {
		r = &request{results: make(chan result, 1)}
	}
	r.task = t
	return r
}

// put gives back a request that no actor holds.
func (p *requestPool) put(r *request) {
	r.task, r.refusal = task{}, nil
	p.pool.Put(r)
}
