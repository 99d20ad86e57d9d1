package bench

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// makeSlow has little wait in the kernel, on both ends. It is called before the
// connection is made.
func makeSlow(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, slowBuffer),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, slowSegment),
		)
	})
	return errors.Join(err, failed)
}
