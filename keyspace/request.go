package keyspace

import (
	"sync"
	"time"
)

// An op is the kind of a request.
type op uint8

const (
	opWrite   op = iota // a Change of a key that is not a delete
	opDelete            // a Change that deletes the key
	opTouch             // a Change that only sets the time to live
	opExpire            // deletes a key that is due; nobody waits for the result
	opPublish           // delivers a message of a topic
	opRead
	opSubscribe
	opUnsubscribe
	opCatchUp // passes the key's value to a new subscriber of a pattern
	opFollow  // applies the records of other keyspaces; nobody waits for the result
	opMissed  // tells the subscribers of a topic that messages may be missing; likewise
	opMissedByPattern
	opDeliver // delivers an update that waits in a burst; nobody waits for the result
)

// writes reports whether a key's request of this kind changes the key.
func (o op) writes() bool {
	switch o {
	case opWrite, opDelete, opTouch, opExpire:
		return true
	}
	return false
}

// joins reports whether a request joins the run of the writes before it.
func (r *request) joins() bool {
	return r.op.writes() && r.op != opTouch && r.change.If == nil
}

// A task says what a request wants from the actor.
type task struct {
	op           op
	change       Change      // of a write or delete; of a publish, which has only a Value
	burst        *burst      // of the change's Burst; nil: none
	turn         uint64      // of the change in the burst
	subscriber   Subscriber  // of a subscribe or unsubscribe
	start        *Start      // of a subscribe or catch-up
	subscribedAt uint64      // of a catch-up: the patterns' clock when the subscription began
	deleted      *tombstone  // of a catch-up with a deleted key: the tombstone that led to it
	then         func(Entry) // of a read: called between the updates before it and after it
}

// A request is the mail of key and topic actors. Each request is answered once.
type request struct {
	task
	refusal error // why a write is refused; the actor sets it before the commit

	results chan result // holds one result; nil if nobody waits
}

// A result is the outcome of a request. It is small, because the actor copies it on
// its stack.
type result struct {
	value   []byte        // of a write: the value after it
	version uint64        // of a write: the key's version after it
	written int64         // of a write: when the value was written, in Unix milliseconds
	expires time.Duration // of a write: when the key expires, after epoch; 0: never
	err     error
}

// answer sends the result to the caller that waits for it.
func (r *request) answer(res result) {
	if r.results != nil {
		r.results <- res
	}
}

// beforeWait is called before the goroutine that sends the request waits for an actor.
func (r *request) beforeWait() {
	if w := r.change.Waiter; w != nil {
		w.Detach()
	}
	if b := r.burst; b != nil {
		b.endWait()
	}
}

// A requestPool reuses requests. Otherwise a request and its channel would be most
// of the memory that a write allocates.
type requestPool struct {
	pool sync.Pool
}

// get returns a request with the task.
func (p *requestPool) get(t task) *request {
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
