package bench

import "sync/atomic"

// A countdown is a sync.WaitGroup that one can stop waiting for.
type countdown struct {
	left atomic.Int64
	zero chan struct{}
}

func newCountdown(n int) *countdown {
	c := &countdown{zero: make(chan struct{})}
	c.left.Store(int64(n))
	if n == 0 {
		close(c.zero)
	}
	return c
}

func (c *countdown) done() {
	if c.left.Add(-1) == 0 {
		close(c.zero)
	}
}
