package bench

import (
	"sync"
	"time"
)

// Bench needs three things that only Linux offers in full: a timer that is precise
// to microseconds, small socket buffers for slow clients, and a look at the server's
// process. They are in system_linux.go; system_other.go has what other systems offer
// in their place.

// A plainTimer waits by a timer of package time. It is for systems that have no better
// timer.
type plainTimer struct {
	once   sync.Once
	closed chan struct{}
}

func newPlainTimer() *plainTimer {
	return &plainTimer{closed: make(chan struct{})}
}

// wait returns when d has passed or the timer is closed.
func (t *plainTimer) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	expired := time.NewTimer(d)
	defer expired.Stop()
	select {
	case <-expired.C:
	case <-t.closed:
	}
}

// close ends a wait. Any goroutine may call it, more than once.
func (t *plainTimer) close() {
	t.once.Do(func() { close(t.closed) })
}
