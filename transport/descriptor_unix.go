//go:build unix

package transport

import (
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

// writeOnce is one write(2) of what is not empty.
func writeOnce(fd int, p []byte) (n int, err error) {
	for {
		n, err = write(fd, p)
		switch err {
		case nil:
			return n, nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// readOnce is one read(2).
func readOnce(fd int, p []byte) (n int) {
	n, _ = syscall.Read(fd, p)
	return n
}
