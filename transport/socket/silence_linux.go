package socket

import (
	"net"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canLook reports that a look works.
const canLook = true

// ListenConfig returns the settings of a listener whose connections inherit from it that the
// kernel probes their peers. To set that for each connection takes eight system calls, four
// of package net's and four of Links'.
func ListenConfig() net.ListenConfig {
	return net.ListenConfig{KeepAlive: -1, Control: func(network, _ string, c syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		return c.Control(func(fd uintptr) {
			for _, x := range []struct{ level, option, value int }{
				{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
				{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
				{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
				{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval / time.Second)},
			} {
				if unix.SetsockoptInt(int(fd), x.level, x.option, x.value) != nil {
					return // Links sets it for each connection
				}
			}
		})
	}}
}

// isProbed reports whether the connection has inherited that the kernel probes its peer. The
// interval, which ListenConfig sets last, is not one that a system has by itself.
func isProbed(c *net.TCPConn) (is bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		interval, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
		is = err == nil && interval == int(keepAliveInterval/time.Second)
	})
	return is && err == nil
}

// A look asks the kernel about connections, one after the other.
type look struct {
	info unix.TCPInfo // kept, because a new one for each connection would be garbage
}

// silence returns how long ago something came from the peer: data or an acknowledgement.
// ok is false if the connection is closed.
func (k *look) silence(c *net.TCPConn) (silence time.Duration, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		length := uint32(unsafe.Sizeof(k.info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO,
			uintptr(unsafe.Pointer(&k.info)), uintptr(unsafe.Pointer(&length)), 0)
		ok = errno == 0
	})
	return time.Duration(min(k.info.Last_ack_recv, k.info.Last_data_recv)) * time.Millisecond, ok && err == nil
}

// end makes the next read and write of a connection fail. Its owner closes it then. It must
// not be closed here: a descriptor may be in use, whose number another file would get.
func (k *look) end(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = c.SetLinger(0) // the kernel need not send what is left
	_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
}
