package keyspace

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync/atomic"

	"rtdb/actor"
)

// A namedActor is a *key or a *topic.
type namedActor interface {
	comparable
	TrySend(r *request) error
	TryRun(r *request) error

	// quick reports that the request's sender may carry it out.
	quick(r *request) bool
	Send(ctx context.Context, r *request) error
	Shutdown(ctx context.Context) error
}

// errAbsent means that no actor has the name, and that the caller did not want one
// to be spawned.
var errAbsent = errors.New("keyspace: absent")

// A directory sends requests to the actors that own names.
type directory[A namedActor] struct {
	names    names[A]
	closed   atomic.Bool
	requests requestPool
}

// names finds the actors of names. Its methods may be called from any goroutine.
type names[A namedActor] interface {
	// get returns the actor that owns a name. If the name is not in use, get spawns an
	// actor, or returns false if spawn is false.
	get(name string, spawn bool) (a A, ok bool)

	// actors returns all actors, in no order.
	actors() iter.Seq[A]
}

// call sends a task to the actor that owns a name, and waits for the result. If the
// name is not in use it spawns an actor, or returns errAbsent if spawn is false. If ctx
// ends after the request was accepted, the outcome is not known.
func (d *directory[A]) call(ctx context.Context, name string, spawn bool, t task) error {
	r, err := d.submit(ctx, name, spawn, t)
	if err != nil {
		return err
	}
	_, err = d.wait(ctx, r)
	return err
}

// submit is the first half of call: it puts the request into the actor's mailbox.
func (d *directory[A]) submit(ctx context.Context, name string, spawn bool, t task) (*request, error) {
	r := d.requests.get(t)
	if err := d.send(ctx, name, spawn, r); err != nil {
		d.requests.put(r)
		return nil, err
	}
	return r, nil
}

// wait is the second half of call: it returns the result.
func (d *directory[A]) wait(ctx context.Context, r *request) (res result, err error) {
	select {
	case res = <-r.results: // usually there already; so ctx need not make a channel
	default:
		r.beforeWait()
		select {
		case res = <-r.results:
		case <-ctx.Done():
			return result{}, context.Cause(ctx) // the actor still has the request
		}
	}
	d.requests.put(r)
	return res, res.err
}

func (d *directory[A]) send(ctx context.Context, name string, spawn bool, r *request) error {
	return d.retry(name, spawn, func(a A) error {
		if a.quick(r) {
			if err := a.TryRun(r); !errors.Is(err, actor.ErrFull) {
				return err
			}
		}
		r.beforeWait()
		return a.Send(ctx, r)
	})
}

// tell sends a request whose result nobody waits for. It drops the request if the mailbox is
// full, if the directory is closed, or if spawn is false and the name is not in use.
func (d *directory[A]) tell(name string, spawn bool, r *request) {
	_ = d.retry(name, spawn, func(a A) error { return a.TrySend(r) })
}

// retry finds the actor that owns a name, and looks again if the actor has stopped.
func (d *directory[A]) retry(name string, spawn bool, send func(A) error) error {
	for {
		a, err := d.find(name, spawn)
		if err != nil {
			return err
		}
		if err := send(a); !errors.Is(err, actor.ErrStopped) {
			return err
		}
		// The goroutine that stopped the actor is about to remove it, or to
		// replace it with its successor.
		runtime.Gosched()
	}
}

// find returns the actor that owns a name. If the name is not in use it spawns an actor,
// or returns errAbsent if spawn is false. It returns ErrClosed if the directory was shut
// down.
func (d *directory[A]) find(name string, spawn bool) (a A, err error) {
	if d.closed.Load() {
		return a, ErrClosed
	}
	a, ok := d.names.get(name, spawn)
	switch {
	case d.closed.Load():
		// shutdown may have walked past this name before the actor was spawned.
		// If closed is still false here, shutdown will find the actor.
		return a, ErrClosed
	case !ok:
		return a, errAbsent
	}
	return a, nil
}

// actors returns all actors, in no order.
func (d *directory[A]) actors() iter.Seq[A] { return d.names.actors() }

// shutdown refuses new requests, and waits until every actor has handled the
// requests that it accepted.
func (d *directory[A]) shutdown(ctx context.Context) error {
	d.closed.Store(true)
	for a := range d.actors() {
		_ = a.TrySend(&request{task: task{op: opDeliver}}) // an update may wait in a burst
		if err := a.Shutdown(ctx); err != nil {
			return err
		}
	}
	return nil
}
