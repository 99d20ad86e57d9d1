package keyspace

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"rtdb/actor"
)

// A node is a key or a topic: an actor with a name.
type node interface {
	comparable
	Send(ctx context.Context, r *request) error
	Shutdown(ctx context.Context) error
}

// errAbsent means that nothing of that name is there, and none was to be made.
var errAbsent = errors.New("keyspace: absent")

// A directory finds the actor that owns a name. Looking one up takes no lock.
type directory[N node] struct {
	spawn    func(name string) N
	nodes    sync.Map // string → N
	closed   atomic.Bool
	requests requestPool
}

func (d *directory[N]) find(name string) (n N, ok bool) {
	v, ok := d.nodes.Load(name)
	if !ok {
		return n, false
	}
	return v.(N), true
}

// call sends a task to the actor that owns a name, and waits for the result. If
// there is no actor it spawns one, or returns errAbsent if spawn is false. If ctx
// ends after the request was accepted, it is not known what became of it.
func (d *directory[N]) call(ctx context.Context, name string, spawn bool, t task) error {
	r, err := d.start(ctx, name, spawn, t)
	if err != nil {
		return err
	}
	_, err = d.wait(ctx, r)
	return err
}

// start is the first half of call: it puts the request into the actor's mailbox.
func (d *directory[N]) start(ctx context.Context, name string, spawn bool, t task) (*request, error) {
	r := d.requests.take(t)
	if err := d.send(ctx, name, spawn, r); err != nil {
		d.requests.put(r)
		return nil, err
	}
	return r, nil
}

// wait is the second half of call.
func (d *directory[N]) wait(ctx context.Context, r *request) (result, error) {
	select {
	case res := <-r.results:
		d.requests.put(r)
		return res, res.err
	case <-ctx.Done():
		return result{}, context.Cause(ctx) // the request is still the actor's
	}
}

func (d *directory[N]) send(ctx context.Context, name string, spawn bool, r *request) error {
	for {
		n, err := d.owner(name, spawn)
		if err != nil {
			return err
		}
		if err := n.Send(ctx, r); !errors.Is(err, actor.ErrStopped) {
			return err
		}
		// The owner has stopped, and whoever stopped it is about to take
		// it out of the directory or to put its heir there.
		runtime.Gosched()
	}
}

func (d *directory[N]) owner(name string, spawn bool) (n N, err error) {
	if n, ok := d.find(name); ok {
		if d.closed.Load() { // its actor may already refuse
			return n, ErrClosed
		}
		return n, nil
	}
	if d.closed.Load() {
		return n, ErrClosed
	}
	if !spawn {
		return n, errAbsent
	}
	name = strings.Clone(name) // it may be part of a larger string
	v, _ := d.nodes.LoadOrStore(name, d.spawn(name))
	if d.closed.Load() {
		// shutdown may have walked past before this one was there; had it
		// begun after this look, it would find it.
		return n, ErrClosed
	}
	return v.(N), nil
}

func (d *directory[N]) remove(name string, n N) { d.nodes.CompareAndDelete(name, n) }

func (d *directory[N]) replace(name string, n, heir N) { d.nodes.CompareAndSwap(name, n, heir) }

func (d *directory[N]) all(yield func(N) bool) {
	d.nodes.Range(func(_, v any) bool { return yield(v.(N)) })
}

// shutdown refuses what comes from now on, and drains one actor after the
// other.
func (d *directory[N]) shutdown(ctx context.Context) error {
	d.closed.Store(true)
	for n := range d.all {
		if err := n.Shutdown(ctx); err != nil {
			return err
		}
	}
	return nil
}
