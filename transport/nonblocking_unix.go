//go:build unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// rawConn returns the way to write to a connection without waiting, nil where
// it is none of the system's own: under TLS, and in memory.
func rawConn(c net.Conn) syscall.RawConn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // it has been closed, as the next read will say
	}
	limitUnsent(raw)
	return raw
}

// writeOnce is one write(2), made once and for all, for to make a function for
// each write would cost an allocation.
type writeOnce struct {
	try func(fd uintptr) bool
	n   int
	err error
}

func (w *writeOnce) init(f *frames) {
	w.try = func(fd uintptr) bool {
		for {
			w.n, w.err = syscall.Write(int(fd), f.bytes[f.taken:])
			if !errors.Is(w.err, syscall.EINTR) {
				return true
			}
		}
	}
}

// tryWrite writes as much as the system takes at once.
func (f *frames) tryWrite(raw syscall.RawConn) (n int, err error) {
	if len(f.bytes) == f.taken {
		return 0, nil
	}
	if err := raw.Write(f.once.try); err != nil {
		return 0, err
	}
	n = max(f.once.n, 0)
	f.taken += n
	if errors.Is(f.once.err, syscall.EAGAIN) {
		return n, nil
	}
	return n, f.once.err
}

// readOnce is one read(2), as writeOnce is one write(2).
type readOnce struct {
	try func(fd uintptr) bool
	n   int
}

func (r *readOnce) init(a *ahead) {
	r.try = func(fd uintptr) bool {
		r.n, _ = syscall.Read(int(fd), a.bytes[:])
		return true
	}
}

// tryRead returns how many bytes there were to be read at once.
func (a *ahead) tryRead(raw syscall.RawConn) int {
	if raw.Read(a.once.try) != nil {
		return 0
	}
	return a.once.n
}
