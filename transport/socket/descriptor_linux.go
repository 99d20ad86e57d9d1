package socket

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// A descriptor is the file descriptor of a connection, which reads and writes
// without blocking. The zero value has none.
//
// A [syscall.RawConn] would do the same by way of three more structs, each with a
// lock, and the poller's state. None of them is in the cache when a message goes
// to one of 1000 idle clients (BenchmarkFanoutOneKey, x-bare).
type descriptor struct {
	mu     sync.Mutex // held while fd is used: after close the number may be another file's
	isOpen bool
	ended  bool // tryRead has found the end of what the client sends
	fd     int
	broken syscall.Errno   // the error that tryRead found: the system reports it once; 0: none
	raw    syscall.RawConn // waits for something to read
}

// maxUnsent limits the unsent bytes that the kernel buffers for a client. Without it the
// kernel would buffer megabytes, all of them older than the updates that conflation keeps
// for a slow client. Measured with 3 MB/s for a client that reads 85 KB/s: its updates
// were at most 1.6 s old; with 128 KiB, 2.6 s; without a limit, 45 s, and its pong came too
// late (TestAClientOnASlowLinkGetsTheNewest).
const maxUnsent = 32 << 10

// open takes the descriptor of a TCP connection or a Unix socket, which package net has
// set not to block. There is none under TLS and in memory. Under TLS it limits the kernel's
// buffer, too.
func (d *descriptor) open(c net.Conn) {
	var system syscall.Conn
	switch unix, isUnix := c.(*net.UnixConn); {
	case isUnix:
		// The peer is a proxy on this machine, which buffers by itself. If the call
		// fails, the kernel buffers 208 KiB.
		_ = unix.SetWriteBuffer(maxUnsent)
		system = unix
	case tcpConn(c) != nil:
		system = tcpConn(c)
	default:
		return
	}
	if !d.take(system) {
		return
	}
	// TCP_NOTSENT_LOWAT (Linux 3.12): a write is taken only while less than
	// maxUnsent was not sent. What was sent and is not acknowledged does not
	// count, so a long way costs no throughput. If the call fails, as it does on a
	// Unix socket, the kernel takes more.
	const notSentLowAt = 25
	_ = syscall.SetsockoptInt(d.fd, syscall.IPPROTO_TCP, notSentLowAt, maxUnsent)
	d.isOpen = any(system) == any(c) // not under TLS
}

// take takes the descriptor of a connection as it is.
func (d *descriptor) take(c syscall.Conn) (taken bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false // the connection is closed, as the next read says
	}
	if raw.Control(func(fd uintptr) { d.fd = int(fd) }) != nil {
		return false
	}
	d.raw, d.isOpen = raw, true
	return true
}

// usable reports whether there is a descriptor and the connection is not closed.
func (d *descriptor) usable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.isOpen
}

// close ends the use of the descriptor. It comes before the connection is closed,
// and does not block.
func (d *descriptor) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isOpen = false
}

// tryWrite writes as much of p, which is not empty, as the kernel takes at once.
func (d *descriptor) tryWrite(p []byte) (n int, err error) {
	d.mu.Lock()
	if !d.isOpen {
		d.mu.Unlock()
		return 0, net.ErrClosed
	}
	n, errno := send(d.fd, p)
	d.mu.Unlock()
	switch errno {
	case 0:
		return n, nil
	case syscall.EAGAIN:
		return 0, nil
	}
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: errno} // as the connection's own Write
}

// tryRead returns how many bytes it read without blocking. It returns 0 or less if
// there are none, and at the end and after an error, which end and the next read
// return. p is not empty.
func (d *descriptor) tryRead(p []byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.isOpen {
		return 0
	}
	n, errno := receive(d.fd, p)
	if errno != 0 && errno != syscall.EAGAIN {
		d.broken = errno
	}
	d.ended = n == 0
	return n
}

// end returns the error that ends the reading, if tryRead has found one. nil: it has not.
func (d *descriptor) end() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.broken != 0:
		return readError(d.broken)
	case d.ended:
		return io.EOF
	}
	return nil
}

// read waits for bytes and reads them, as the Read of a net.Conn does.
func (d *descriptor) read(p []byte) (int, error) {
	if err := d.end(); err != nil {
		return 0, err
	}
	r := blockingReads.Get().(*blockingRead)
	r.p = p
	err := d.raw.Read(r.step)
	n, errno := r.n, r.errno
	r.p = nil
	blockingReads.Put(r)
	switch {
	case err != nil:
		var waiting *net.OpError
		if errors.As(err, &waiting) {
			return 0, &net.OpError{Op: "read", Net: waiting.Net, Source: waiting.Source, Addr: waiting.Addr, Err: waiting.Err} // not "raw-read"
		}
		return 0, err
	case errno != 0:
		return 0, readError(errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func readError(errno syscall.Errno) error { return &net.OpError{Op: "read", Net: "tcp", Err: errno} }

// A blockingRead is the state of a call of descriptor.read. They are pooled with their step,
// which would otherwise be made anew for each message.
type blockingRead struct {
	p     []byte
	n     int
	errno syscall.Errno
	step  func(fd uintptr) (done bool) // called by RawConn.Read, which waits if it returns false
}

var blockingReads = sync.Pool{New: func() any {
	r := new(blockingRead)
	r.step = func(fd uintptr) bool {
		r.n, r.errno = receive(int(fd), r.p)
		return r.errno != syscall.EAGAIN
	}
	return r
}}
