package jetstream

import (
	"context"
	"sync"
	"sync/atomic"
)

// A place is the sequence up to which the feed has brought all messages.
type place struct {
	sequence atomic.Uint64
	waiting  atomic.Int32

	mu      sync.Mutex
	waiters map[chan struct{}]uint64
	failure error // why the place moves no more; nil: it may
}

func (p *place) now() uint64 { return p.sequence.Load() }

// advance moves the place. Only the feed calls it.
func (p *place) advance(sequence uint64) {
	p.sequence.Store(sequence)
	if p.waiting.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for reached, awaited := range p.waiters {
		if awaited <= sequence {
			close(reached)
			delete(p.waiters, reached)
		}
	}
}

// fail ends the waiting of all callers: the place moves no more.
func (p *place) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure = err
	for reached := range p.waiters {
		close(reached)
		delete(p.waiters, reached)
	}
}

// await returns nil when the place has come to a sequence. It returns the cause of ctx if ctx
// ends first, or an error if the place moves no more.
func (p *place) await(ctx context.Context, sequence uint64) error {
	if sequence <= p.now() {
		return nil
	}
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	reached := make(chan struct{})
	p.mu.Lock()
	if sequence <= p.now() || p.failure != nil {
		defer p.mu.Unlock()
		return p.failure
	}
	if p.waiters == nil {
		p.waiters = map[chan struct{}]uint64{}
	}
	p.waiters[reached] = sequence
	p.mu.Unlock()
	select {
	case <-reached:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.failure
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiters, reached)
		return context.Cause(ctx)
	}
}

// A barriers joins the callers that wait for a barrier: a barrier that is begun after a call
// counts for the call.
type barriers struct {
	mu   sync.Mutex
	next *barrier // gathers callers; nil: nobody waits
	busy sync.Mutex

	last atomic.Uint64 // the sequence of the message of the newest one that has passed
}

type barrier struct {
	done chan struct{}
	err  error
}

// wait returns when a call of make that began after wait was called has returned.
func (b *barriers) wait(ctx context.Context, make func() error) error {
	b.mu.Lock()
	x := b.next
	first := x == nil
	if first {
		x = newBarrier()
		b.next = x
	}
	b.mu.Unlock()
	if first {
		b.busy.Lock()
		b.mu.Lock()
		b.next = nil // from here on, callers need another one
		b.mu.Unlock()
		x.err = make()
		close(x.done)
		b.busy.Unlock()
	}
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func newBarrier() *barrier { return &barrier{done: make(chan struct{})} }
