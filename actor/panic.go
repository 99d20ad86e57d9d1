package actor

import (
	"errors"
	"runtime/debug"
)

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
	switch {
	case value == nil:
		value = errGoexit
	case a.onPanic == nil:
		panic(value)
	}
	a.fail(value, debug.Stack(), *batch)
}

// fail stops the actor, refuses the senders that wait, and calls OnPanic.
func (a *Actor[M]) fail(value any, stack []byte, batch []M) {
	a.mu.Lock()
	a.stopped = true
	a.refuseSendersLocked()
	lost := append(batch, a.queue...)
	a.mu.Unlock()

	// OnPanic is called before the actor becomes idle, and so before Shutdown returns: a
	// caller that waits for the end of the actor also waits until its owner has reacted
	// to the panic.
	if a.onPanic != nil {
		a.onPanic(Panic[M]{Value: value, Stack: stack, Lost: lost})
	}

	a.mu.Lock()
	a.becomeIdleLocked()
	a.mu.Unlock()
}
