package actor

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
)

// DefaultCapacity is how many messages wait in a mailbox whose [Options] name
// no capacity.
const DefaultCapacity = 256

var (
	// ErrFull means that the mailbox had no room. Only TrySend returns it.
	ErrFull = errors.New("actor: mailbox full")

	// ErrStopped means that the actor takes no more mail: it was retired or
	// shut down, or its handler panicked. The message was not accepted.
	ErrStopped = errors.New("actor: stopped")

	errGoexit = errors.New("actor: handler called runtime.Goexit")
)

// Options are the settings of an [Actor]. The zero value is ready to use.
type Options[M any] struct {
	// Capacity is how many messages may wait besides the batch in hand.
	// 0 means DefaultCapacity.
	Capacity int

	// Pool, where set, runs the actor on goroutines that it shares with
	// others, so its handler must not block. Where it is nil the actor has a
	// goroutine of its own while there is mail.
	Pool *Pool

	// OnPanic is told of the panic that stopped the actor, once, on the
	// actor's goroutine, after later sends have begun to fail. Where it is
	// nil a panic ends the process, like any other.
	OnPanic func(Panic[M])
}

// A Panic says how a handler panicked and which mail that left behind.
type Panic[M any] struct {
	Value any    // what was passed to panic
	Stack []byte // of the handler's goroutine, as debug.Stack prints it

	// Lost is the mail that was accepted and not handled, in the order sent:
	// the batch in hand as the handler left it, then what waited behind it.
	// A handler that clears the elements it is done with finds only the
	// others here.
	Lost []M
}

// An Actor owns some state and handles its messages one batch at a time, in
// the order in which they were sent. It runs on a goroutine of its own while
// there is mail, and is only a struct while there is none.
//
// An Actor is used inside another struct, by value, and must not be copied
// after Init. Its methods may be called from any goroutine.
type Actor[M any] struct {
	handle  func([]M)
	onPanic func(Panic[M])

	mu       sync.Mutex
	capacity int32
	state    state
	stopped  bool         // nothing is accepted any more
	queue    []M          // accepted, not yet in hand; nil while parked
	over     *overflow[M] // what few actors need, made when it is needed
}

// A state says who empties the queue.
type state uint8

const (
	parked  state = iota // nobody: it is empty
	queued               // the pool will
	running              // a goroutine does
)

// overflow is kept apart from Actor so that a parked actor stays small.
type overflow[M any] struct {
	waiting []*waiter[M]  // senders in front of a full queue, oldest first
	drained chan struct{} // closed when the stopped actor's goroutine is done
	pool    *Pool         // nil: a goroutine of its own
	seat    seat          // in pool
	again   bool          // the handler asked for a goroutine of its own
}

// A waiter is a sender that waits for room.
type waiter[M any] struct {
	message  M
	admitted chan error // gets nil or ErrStopped, once
}

// Init makes the actor ready; handle gets its messages. The slice is the
// actor's own again when handle returns. Init must come before all other
// calls, and panics where handle is nil or the capacity is negative.
func (a *Actor[M]) Init(handle func(batch []M), o Options[M]) {
	if handle == nil || o.Capacity < 0 {
		panic("actor: Init needs a handler and a capacity that is not negative")
	}
	if o.Capacity == 0 {
		o.Capacity = DefaultCapacity
	}
	a.handle, a.onPanic, a.capacity = handle, o.OnPanic, int32(o.Capacity)
	if o.Pool != nil {
		a.over = &overflow[M]{pool: o.Pool, seat: seat{actor: a}}
	}
}

// Send puts m into the mailbox, and waits for room where there is none; of
// several that wait, the first to come is the first to get room. It returns
// ErrStopped or, when ctx ends the wait, the cause of that; m was then not
// accepted. A ctx that has ended does not fail a send that need not wait.
//
// Two actors that Send to each other can wait for each other for ever: between
// actors, use TrySend.
func (a *Actor[M]) Send(ctx context.Context, m M) error {
	a.mu.Lock()
	err := a.acceptLocked(m)
	if err != ErrFull {
		a.mu.Unlock()
		return err
	}
	w := &waiter[M]{message: m, admitted: make(chan error, 1)}
	o := a.overflowLocked()
	o.waiting = append(o.waiting, w)
	a.mu.Unlock()

	select {
	case err := <-w.admitted:
		return err
	case <-ctx.Done():
		if a.withdraw(w) {
			return context.Cause(ctx)
		}
		return <-w.admitted // the actor was quicker than the context
	}
}

// TrySend puts m into the mailbox, or returns ErrFull or ErrStopped. It never
// waits.
func (a *Actor[M]) TrySend(m M) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acceptLocked(m)
}

// TryRun is TrySend for one who would rather do the work than wait for the
// pool's round: where nobody handles the actor's mail at this moment the caller's
// goroutine does, one batch. Without a pool it is TrySend.
func (a *Actor[M]) TryRun(m M) error {
	a.mu.Lock()
	if a.over == nil || a.over.pool == nil || a.state == running || a.stopped || len(a.queue) >= int(a.capacity) {
		defer a.mu.Unlock()
		return a.acceptLocked(m)
	}
	a.queue = append(a.queue, m)
	a.state = running
	a.runOnceLocked()
	return nil
}

// Detach is for the handler, and says that it has to block: when it has
// returned it is called again, on a goroutine of the actor's own, with the mail
// that has come since, perhaps none. The actor has that goroutine until it has
// no mail.
func (a *Actor[M]) Detach() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.overflowLocked().again = true
}

// Retire stops the actor if no mail waits, and reports whether it did. Called
// by the handler, it says that the batch in hand is the last.
func (a *Actor[M]) Retire() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || len(a.queue) > 0 {
		return false
	}
	a.stopped = true
	return true
}

// Shutdown has the actor refuse new mail, fails the senders that wait for
// room, and waits until what was accepted has been handled. It returns the
// cause of ctx where that ends first; the actor then goes on draining. It may
// be called again, and concurrently, but not by the actor's own handler.
func (a *Actor[M]) Shutdown(ctx context.Context) error {
	a.mu.Lock()
	a.stopped = true
	a.refuseWaitingLocked()
	if a.state == parked {
		a.mu.Unlock()
		return nil
	}
	o := a.overflowLocked()
	if o.drained == nil {
		o.drained = make(chan struct{})
	}
	drained := o.drained
	a.mu.Unlock()

	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// acceptLocked appends m to the queue. The send that finds the actor parked
// wakes it, under the lock under which it parks: so a queue that is not empty
// always has somebody who empties it.
func (a *Actor[M]) acceptLocked(m M) error {
	switch {
	case a.stopped:
		return ErrStopped
	case len(a.queue) >= int(a.capacity):
		return ErrFull
	}
	a.queue = append(a.queue, m)
	if a.state == parked {
		a.wakeLocked()
	}
	return nil
}

func (a *Actor[M]) wakeLocked() {
	if a.over != nil && a.over.pool != nil {
		a.state = queued
		a.over.pool.schedule(&a.over.seat)
		return
	}
	a.state = running
	go a.run()
}

// run handles batches until the queue is empty, then parks.
func (a *Actor[M]) run() {
	var batch []M
	handled := true
	defer a.recovered(&handled, &batch)
	for {
		if batch = a.next(batch); batch == nil {
			return
		}
		handled = false
		a.handle(batch)
		handled = true
	}
}

// turn is the pool's: it handles a batch, if nobody was quicker.
func (a *Actor[M]) turn() {
	a.mu.Lock()
	if a.state != queued {
		a.mu.Unlock()
		return
	}
	a.state = running
	a.runOnceLocked()
}

// runOnceLocked handles the batch that waits, and leaves what comes meanwhile to
// the pool, or to a goroutine of the actor's own. It unlocks mu.
func (a *Actor[M]) runOnceLocked() {
	batch := a.queue
	a.queue = nil
	a.admitLocked()
	a.mu.Unlock()

	handled := false
	defer a.recovered(&handled, &batch)
	a.handle(batch)
	handled = true
	clear(batch)

	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.over.again:
		go a.run()
	case len(a.queue) == 0:
		a.parkLocked()
	default:
		a.wakeLocked()
	}
}

// recovered is deferred by who calls the handler.
func (a *Actor[M]) recovered(handled *bool, batch *[]M) {
	if *handled {
		return
	}
	value := recover()
	switch {
	case value == nil:
		value = errGoexit
	case a.onPanic == nil:
		panic(value)
	}
	a.fail(value, debug.Stack(), *batch)
}

// next swaps the batch that was handled for what waits, or parks the actor and
// returns nil. The two slices go back and forth as long as there is mail, and
// both are given up on parking: an idle actor holds no memory for its mail.
func (a *Actor[M]) next(done []M) []M {
	clear(done)
	a.mu.Lock()
	defer a.mu.Unlock()
	if asked := a.askedLocked(); len(a.queue) == 0 && !asked {
		a.parkLocked()
		return nil
	}
	batch := a.queue
	if batch == nil {
		batch = []M{}
	}
	a.queue = done[:0]
	a.admitLocked()
	return batch
}

// askedLocked reports whether Detach was called, once.
func (a *Actor[M]) askedLocked() bool {
	asked := a.over != nil && a.over.again
	if asked {
		a.over.again = false
	}
	return asked
}

func (a *Actor[M]) parkLocked() {
	a.state = parked
	a.queue = nil
	o := a.over
	if o == nil {
		return
	}
	if o.drained != nil {
		close(o.drained)
		o.drained = nil
	}
	if o.pool == nil {
		a.over = nil // nobody waits: the queue was empty
	}
}

// admitLocked moves waiting senders into the queue while there is room.
func (a *Actor[M]) admitLocked() {
	o := a.over
	if o == nil || len(o.waiting) == 0 {
		return
	}
	n := min(len(o.waiting), int(a.capacity)-len(a.queue))
	for _, w := range o.waiting[:n] {
		a.queue = append(a.queue, w.message)
		w.admitted <- nil
	}
	o.waiting = slices.Delete(o.waiting, 0, n)
}

// withdraw takes w from the senders that wait, and reports whether it was
// still among them.
func (a *Actor[M]) withdraw(w *waiter[M]) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over == nil {
		return false
	}
	i := slices.Index(a.over.waiting, w)
	if i < 0 {
		return false
	}
	a.over.waiting = slices.Delete(a.over.waiting, i, i+1)
	return true
}

// fail ends the actor after its handler panicked over batch.
func (a *Actor[M]) fail(value any, stack []byte, batch []M) {
	a.mu.Lock()
	a.stopped = true
	a.refuseWaitingLocked()
	lost := append(batch, a.queue...)
	a.mu.Unlock()

	// Before Shutdown returns, so that whoever waits for the end of this
	// actor also waits for what its owner does about the panic.
	if a.onPanic != nil {
		a.onPanic(Panic[M]{Value: value, Stack: stack, Lost: lost})
	}

	a.mu.Lock()
	a.parkLocked()
	a.mu.Unlock()
}

func (a *Actor[M]) refuseWaitingLocked() {
	if a.over == nil {
		return
	}
	for _, w := range a.over.waiting {
		w.admitted <- ErrStopped
	}
	a.over.waiting = nil
}

func (a *Actor[M]) overflowLocked() *overflow[M] {
	if a.over == nil {
		a.over = new(overflow[M])
	}
	return a.over
}
