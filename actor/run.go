package actor

import (
	"errors"
	"runtime/debug"
)

// A runState says how the queue will be emptied. Actor.mu guards it.
type runState uint8

const (
	idle      runState = iota // the queue is empty
	scheduled                 // the pool will run the actor
	running                   // a goroutine runs the handler
)

// extraState is the state that only few actors have: those with a pool, with senders that
// wait, or in Shutdown. It is not part of Actor, so that an idle actor stays small.
type extraState[M any] struct {
	senders []*waitingSender[M] // oldest first
	drained chan struct{}       // closed when the actor has handled all it accepted; nil if no Shutdown waits
	pool    *Pool               // nil if the actor runs on a goroutine of its own
	task    task                // the actor in its pool
	detach  bool                // the handler called Detach
}

func (a *Actor[M]) extraLocked() *extraState[M] {
	if a.extra == nil {
		a.extra = new(extraState[M])
	}
	return a.extra
}

// acceptLocked appends m to the queue, or returns ErrFull or ErrStopped. If the actor is
// idle, acceptLocked wakes it, or leaves that to the crowd c, if c is not nil. The actor becomes idle under the same lock, so a queue that
// is not empty always has a goroutine or a pool that will empty it.
func (a *Actor[M]) acceptLocked(m M, c *Crowd) error {
	switch {
	case a.stopped:
		return ErrStopped
	case len(a.queue) >= int(a.capacity):
		return ErrFull
	}
	a.queue = append(a.queue, m)
	if a.state == idle {
		a.wakeLocked(c)
	}
	return nil
}

// wakeLocked schedules the actor in its pool, now or when the crowd c is woken. Without a
// pool it starts the actor's goroutine.
func (a *Actor[M]) wakeLocked(c *Crowd) {
	if a.extra == nil || a.extra.pool == nil {
		a.state = running
		go a.run()
		return
	}
	a.state = scheduled
	pool, t := a.extra.pool, &a.extra.task
	if c == nil || !c.hold(pool, t) {
		pool.schedule(t, c != nil)
	}
}

// run handles batches until the queue is empty. It is the goroutine of an actor that has
// no pool, or has called Detach.
func (a *Actor[M]) run() {
	var batch []M
	handled := true
	defer a.recoverPanic(&handled, &batch)
	for {
		if batch = a.nextBatch(batch); batch == nil {
			return
		}
		handled = false
		a.handler.Handle(batch)
		handled = true
	}
}

// nextBatch takes the queue as the next batch. If there are no messages, the actor becomes
// idle and nextBatch returns nil.
//
// The slice of the previous batch becomes the new queue: the two slices are swapped while
// there are messages. Both are released when the actor becomes idle, so that an idle actor
// holds no memory for messages.
func (a *Actor[M]) nextBatch(previous []M) []M {
	clear(previous)
	a.mu.Lock()
	defer a.mu.Unlock()
	if detach := a.takeDetachLocked(); len(a.queue) == 0 && !detach {
		a.becomeIdleLocked()
		return nil
	}
	batch := a.queue
	if batch == nil {
		batch = []M{} // the handler called Detach, and no message has come since
	}
	a.queue = previous[:0]
	a.acceptSendersLocked()
	return batch
}

// takeDetachLocked reports whether the handler called Detach since the last call of
// takeDetachLocked.
func (a *Actor[M]) takeDetachLocked() bool {
	detach := a.extra != nil && a.extra.detach
	if detach {
		a.extra.detach = false
	}
	return detach
}

// runBatch handles one batch on a worker of the pool. It does nothing if a call of TryRun
// has begun to handle the messages already.
func (a *Actor[M]) runBatch() {
	a.mu.Lock()
	if a.state != scheduled {
		a.mu.Unlock()
		return
	}
	a.state = running
	a.runBatchLocked()
}

// runBatchLocked handles the queue as one batch. Messages that come meanwhile are left to
// the pool, or to a goroutine of the actor's own. The caller holds mu, and runBatchLocked
// unlocks it.
func (a *Actor[M]) runBatchLocked() {
	batch := a.queue
	a.queue = nil
	a.acceptSendersLocked()
	a.mu.Unlock()

	handled := false
	defer a.recoverPanic(&handled, &batch)
	a.handler.Handle(batch)
	handled = true
	clear(batch)

	a.mu.Lock()
	switch pooled := a.extra != nil && a.extra.pool != nil; {
	case a.extra != nil && a.extra.detach:
		go a.run()
	case len(a.queue) == 0:
		a.becomeIdleLocked()
	case pooled:
		a.state = scheduled
		a.extra.pool.scheduleAgain(&a.extra.task)
	default:
		go a.run()
	}
	a.mu.Unlock()
}

// becomeIdleLocked ends a run. Its caller has checked that the queue is empty, or has
// stopped the actor.
func (a *Actor[M]) becomeIdleLocked() {
	a.state = idle
	a.queue = nil
	e := a.extra
	if e == nil {
		return
	}
	if e.drained != nil {
		close(e.drained)
		e.drained = nil
	}
	if e.pool == nil {
		a.extra = nil // no sender waits, because the queue is empty or the actor has stopped
	}
}

// A Panic describes a panic that stopped an actor, and the messages that were lost.
type Panic[M any] struct {
	// Value is the value that was passed to panic. If the handler called
	// runtime.Goexit, it is an error that says so.
	Value any

	// Stack is the stack of the handler's goroutine, as debug.Stack formats it.
	Stack []byte

	// Lost has the messages that were accepted and not handled, in the order in which
	// they were sent: first the batch of the handler that panicked, then the messages
	// that waited. The batch is as the handler left it. A handler that clears the
	// elements that it has finished finds their zero values here.
	Lost []M
}

var errGoexit = errors.New("actor: handler called runtime.Goexit")

// recoverPanic stops the actor if its handler did not return. Each caller of the handler
// defers it. handled is false while the handler runs.
func (a *Actor[M]) recoverPanic(handled *bool, batch *[]M) {
	if *handled {
		return
	}
	value := recover()
	if value == nil {
		value = errGoexit
	}
	a.fail(value, debug.Stack(), *batch)
}

// fail stops the actor, refuses the senders that wait, and calls HandlePanic.
func (a *Actor[M]) fail(value any, stack []byte, batch []M) {
	a.mu.Lock()
	a.stopped = true
	a.refuseSendersLocked()
	lost := append(batch, a.queue...)
	a.mu.Unlock()

	// HandlePanic is called before the actor becomes idle, and so before Shutdown returns: a
	// caller that waits for the end of the actor also waits until its owner has reacted
	// to the panic.
	a.handler.HandlePanic(Panic[M]{Value: value, Stack: stack, Lost: lost})

	a.mu.Lock()
	a.becomeIdleLocked()
	a.mu.Unlock()
}
