package bench

import (
	"sync"
	"time"
)

// A plainTimer is a timer where the system has none that is better.
type plainTimer struct {
	once   sync.Once
	closed chan struct{}
}

func newPlainTimer() *plainTimer {
	return &plainTimer{closed: make(chan struct{})}
}

// wait returns when d has passed, or the timer is closed.
func (t *plainTimer) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-t.closed:
	}
}

// close may be called at any time and more than once.
func (t *plainTimer) close() {
	t.once.Do(func() { close(t.closed) })
}
