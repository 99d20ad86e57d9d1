package bench

import (
	"sync"
	"time"
)

// Bench uses three features of Linux: a timer that is precise to microseconds, small
// socket buffers for slow clients, and the processor time and memory of another
// process. They are in system_linux.go. Their replacements on other systems are in
// system_other.go.

// A plainTimer waits with a timer of package time. It is used if the system has no
// better timer.
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
