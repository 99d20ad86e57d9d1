package actor

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// An Actor owns some state and handles its messages one batch at a time, in the order in
// which they were sent. It has a goroutine only while there are messages.
//
// An Actor is used by value inside another struct, and must not be copied after Init. Its
// methods may be called from any goroutine.
type Actor[M any] struct {
	handler  Handler[M]
	capacity int32

	mu      sync.Mutex
	state   runState
	stopped bool           // no more messages are accepted
	queue   []M            // accepted and not yet in a batch; nil while idle
	extra   *extraState[M] // nil until it is needed
}

// A Handler handles the messages of an actor. It is an interface, and not two functions,
// because each function would be an object of its own, in memory that is seldom in the cache.
type Handler[M any] interface {
	// Handle handles a batch of messages. It must not use the slice after it has returned.
	Handle(batch []M)

	// HandlePanic is called once if a panic in Handle stops the actor. It runs on the same
	// goroutine, after later sends have begun to fail.
	HandlePanic(Panic[M])
}

// Options are the settings of an [Actor]. The zero value is ready to use.
type Options[M any] struct {
	// Capacity is how many messages may wait. The batch that is being handled is not
	// counted. 0 means DefaultCapacity.
	Capacity int

	// Pool, if it is not nil, runs the actor on goroutines that it shares with other
	// actors. The handler must then not block. If Pool is nil, the actor has a goroutine
	// of its own while there are messages.
	Pool *Pool

	// OnPanic is the HandlePanic of an actor that Init was called for. If it is nil, a panic
	// in the handler ends the process, like any other panic.
	OnPanic func(Panic[M])
}

// DefaultCapacity is the capacity of a mailbox if [Options] has none, in messages.
const DefaultCapacity = 256

var (
	// ErrFull means that the mailbox had no room. Only TrySend and TryRun return it.
	ErrFull = errors.New("actor: mailbox full")

	// ErrStopped means that the actor accepts no more messages: it was retired or shut
	// down, or its handler panicked. The message was not accepted.
	ErrStopped = errors.New("actor: stopped")
)

// Init is InitHandler for functions: each batch of messages is passed to handle.
func (a *Actor[M]) Init(handle func(batch []M), o Options[M]) {
	if handle == nil {
		panic("actor: Init: the handler is nil")
	}
	a.InitHandler(&functions[M]{handle, o.OnPanic}, o)
}

// InitHandler makes the actor ready. It or Init must be called before all other methods. It
// panics if the capacity is negative.
func (a *Actor[M]) InitHandler(h Handler[M], o Options[M]) {
	if o.Capacity < 0 {
		panic(fmt.Sprintf("actor: Init: Capacity is %d: it must not be negative", o.Capacity))
	}
	if o.Capacity == 0 {
		o.Capacity = DefaultCapacity
	}
	a.handler, a.capacity = h, int32(o.Capacity)
	if o.Pool != nil {
		a.extra = &extraState[M]{pool: o.Pool, task: task{actor: a}}
	}
}

// functions are a Handler.
type functions[M any] struct {
	handle  func([]M)
	onPanic func(Panic[M]) // nil: the process ends
}

func (f *functions[M]) Handle(batch []M) { f.handle(batch) }

func (f *functions[M]) HandlePanic(p Panic[M]) {
	switch {
	case f.onPanic != nil:
		f.onPanic(p)
	case p.Value != errGoexit:
		panic(p.Value)
	}
}

// Send puts m into the mailbox. If the mailbox is full, Send waits for room. Senders get
// room in the order in which they came.
//
// Send returns ErrStopped if the actor has stopped. If ctx ends while Send waits, it
// returns the cause of ctx. In both cases m was not accepted. Send ignores ctx if
// it need not wait.
//
// Two actors that Send to each other can wait for each other for ever. Use TrySend
// between actors.
func (a *Actor[M]) Send(ctx context.Context, m M) error {
	a.mu.Lock()
	err := a.acceptLocked(m, nil)
	if err != ErrFull {
		a.mu.Unlock()
		return err
	}
	s := a.addSenderLocked(m)
	a.mu.Unlock()

	select {
	case err := <-s.result:
		return err
	case <-ctx.Done():
		if a.removeSender(s) {
			return context.Cause(ctx)
		}
		return <-s.result // the actor accepted or refused m before ctx ended
	}
}

// TrySend puts m into the mailbox, or returns ErrFull or ErrStopped. It never waits.
func (a *Actor[M]) TrySend(m M) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acceptLocked(m, nil)
}

// TrySendCrowd is TrySend for a sender that wakes many actors at once. If the actor is idle
// and has a pool, it runs only after c.Wake, which the sender must call soon.
func (a *Actor[M]) TrySendCrowd(m M, c *Crowd) error {
	a.mu.Lock()
	err := a.acceptLocked(m, c)
	a.mu.Unlock()
	return err
}

// Pending reports whether a message waits. The handler can call it to find out whether
// another batch follows at once.
func (a *Actor[M]) Pending() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue) > 0
}

// TryRun sends m. If no goroutine runs the handler at this moment, TryRun also handles one
// batch on the caller's goroutine, instead of waking another one. It returns ErrFull or
// ErrStopped, as TrySend does. If the handler blocks, so does the caller; it must hold nothing
// that the handler waits for.
//
// To wake a goroutine costs little if the processors are busy, and some 10 µs of CPU if one
// of them sleeps.
func (a *Actor[M]) TryRun(m M) error {
	a.mu.Lock()
	if a.state == running || a.stopped || len(a.queue) >= int(a.capacity) {
		defer a.mu.Unlock()
		return a.acceptLocked(m, nil)
	}
	a.queue = append(a.queue, m)
	a.state = running
	a.runBatchLocked()
	return nil
}

// Detach asks for a goroutine of the actor's own. A handler that runs in a pool and has to
// block calls Detach and returns. It is then called again on the new goroutine, with the
// messages that have come since; this batch may be empty. The actor keeps that goroutine
// until it has no more messages.
func (a *Actor[M]) Detach() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.extraLocked().detach = true
}

// Retire stops the actor if its queue is empty, and reports whether it did. If the handler
// calls Retire and it returns true, the current batch is the last one.
func (a *Actor[M]) Retire() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || len(a.queue) > 0 {
		return false
	}
	a.stopped = true
	return true
}

// Shutdown stops the actor: new messages are refused, and senders that wait for room get
// ErrStopped. It waits until the accepted messages are handled and, after a panic, until
// HandlePanic has returned. If ctx ends first, Shutdown returns the cause of ctx, and the actor
// continues to handle what it accepted.
//
// Shutdown may be called more than once and from several goroutines, but not by the
// actor's own handler, which would wait for itself.
func (a *Actor[M]) Shutdown(ctx context.Context) error {
	a.mu.Lock()
	a.stopped = true
	a.refuseSendersLocked()
	if a.state == idle {
		a.mu.Unlock()
		return nil
	}
	e := a.extraLocked()
	if e.drained == nil {
		e.drained = make(chan struct{})
	}
	drained := e.drained
	a.mu.Unlock()

	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
