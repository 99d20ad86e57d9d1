package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A timer wakes at the microsecond. Go's own may come a millisecond late, for
// its poller waits for whole ones; all of that would count as the server's
// latency. A timerfd(2) that the poller waits for comes in time.
type timer struct {
	file  *os.File // nil where there are no files left
	plain *plainTimer
}

func newTimer() *timer {
	t := &timer{plain: newPlainTimer()}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err == nil {
		t.file = os.NewFile(uintptr(fd), "timerfd")
	}
	return t
}

// wait returns when d has passed, or the timer is closed.
func (t *timer) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	if t.file == nil {
		t.plain.wait(d)
		return
	}
	raw, err := t.file.SyscallConn()
	if err != nil {
		return // closed
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}, nil)
	})
	switch {
	case err != nil: // closed
	case failed != nil:
		t.plain.wait(d)
	default:
		var expirations [8]byte
		_, _ = t.file.Read(expirations[:]) // an error says that it is closed
	}
}

// close may be called at any time and more than once.
func (t *timer) close() {
	t.plain.close()
	if t.file != nil {
		_ = t.file.Close()
	}
}
