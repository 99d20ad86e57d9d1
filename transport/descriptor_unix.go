//go:build unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// descriptorOf returns what net has set not to block.
func descriptorOf(c *net.TCPConn) (fd int, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false // it has been closed, as the next read will say
	}
	err = raw.Control(func(number uintptr) { fd = int(number) })
	if err != nil {
		return 0, false
	}
	limitUnsent(fd)
	return fd, true
}

// writeOnce is one write(2).
func writeOnce(fd int, p []byte) (n int, err error) {
	for {
		n, err = syscall.Write(fd, p)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		case !errors.Is(err, syscall.EINTR):
			return 0, err
		}
	}
}

// readOnce is one read(2).
func readOnce(fd int, p []byte) (n int) {
	n, _ = syscall.Read(fd, p)
	return n
}
