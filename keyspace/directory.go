package keyspace

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"rtdb/actor"
)

// A namedActor is a *key or a *topic.
type namedActor interface {
	comparable
	Send(ctx context.Context, r *request) error
	Shutdown(ctx context.Context) error
}

// errAbsent means that no actor has the name, and that the caller did not want one
// to be spawned.
var errAbsent = errors.New("keyspace: absent")

// A directory finds the actor that owns a name. It takes no lock to find one.
type directory[A namedActor] struct {
	spawn    func(name string) A
	byName   sync.Map // string → A
	closed   atomic.Bool
	requests requestPool
}

// find returns the actor that owns a name, if there is one.
func (d *directory[A]) find(name string) (a A, ok bool) {
	v, ok := d.byName.Load(name)
	if !ok {
		return a, false
	}
	return v.(A), true
}

// call sends a task to the actor that owns a name, and waits for the result. If
// there is no actor it spawns one, or returns errAbsent if spawn is false. If ctx
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
func (d *directory[A]) wait(ctx context.Context, r *request) (result, error) {
	select {
	case res := <-r.results:
		d.requests.put(r)
		return res, res.err
	case <-ctx.Done():
		return result{}, context.Cause(ctx) // the actor still has the request
	}
}

func (d *directory[A]) send(ctx context.Context, name string, spawn bool, r *request) error {
	for {
		a, err := d.findOrSpawn(name, spawn)
		if err != nil {
			return err
		}
		if err := a.Send(ctx, r); !errors.Is(err, actor.ErrStopped) {
			return err
		}
		// The actor has stopped. The goroutine that stopped it is about to
		// remove it from the directory, or to replace it with its successor.
		runtime.Gosched()
	}
}

// findOrSpawn returns the actor that owns a name. If there is no actor it spawns
// one, or returns errAbsent if spawn is false. It returns ErrClosed if the
// directory was shut down.
func (d *directory[A]) findOrSpawn(name string, spawn bool) (a A, err error) {
	if a, ok := d.find(name); ok {
		if d.closed.Load() { // the actor may already refuse requests
			return a, ErrClosed
		}
		return a, nil
	}
	if d.closed.Load() {
		return a, ErrClosed
	}
	if !spawn {
		return a, errAbsent
	}
	name = strings.Clone(name) // the name may be part of a larger string
	v, _ := d.byName.LoadOrStore(name, d.spawn(name))
	if d.closed.Load() {
		// shutdown may have walked past this name before the actor was stored.
		// If closed is still false here, shutdown will find the actor.
		return a, ErrClosed
	}
	return v.(A), nil
}

// add spawns the actor of a name that has none. No other call may add or look for actors at
// the same time. It saves a load of a million keys a third of the lookups.
func (d *directory[A]) add(name string) A {
	a := d.spawn(name)
	d.byName.Store(name, a)
	return a
}

// remove removes the actor, unless another one has its name by now.
func (d *directory[A]) remove(name string, a A) { d.byName.CompareAndDelete(name, a) }

// replace puts the successor in the place of an actor that panicked.
func (d *directory[A]) replace(name string, a, successor A) {
	d.byName.CompareAndSwap(name, a, successor)
}

// actors returns all actors, in no order.
func (d *directory[A]) actors() iter.Seq[A] {
	return func(yield func(A) bool) {
		d.byName.Range(func(_, v any) bool { return yield(v.(A)) })
	}
}

// shutdown refuses new requests, and waits until every actor has handled the
// requests that it accepted.
func (d *directory[A]) shutdown(ctx context.Context) error {
	d.closed.Store(true)
	for a := range d.actors() {
		if err := a.Shutdown(ctx); err != nil {
			return err
		}
	}
	return nil
}
