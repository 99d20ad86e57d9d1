package socket

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Listener accepts connections for an [http.Server]. Those that have a descriptor become
// requestConns.
type Listener struct{ net.Listener }

// Accept waits for the next connection.
func (l Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if plain, ok := conn.(plainConn); ok {
		c := &requestConn{plainConn: plain}
		if c.fd.take(plain) {
			return c, nil
		}
	}
	return conn, err
}

// A plainConn is a TCP connection or that of a Unix socket.
type plainConn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error // net/http half-closes a connection whose request it has not read
}

// A requestConn is a connection on which net/http serves requests. It reads and writes past
// the scheduler (syscall_linux.go). A deadline costs nothing unless it comes near: net/http sets
// seven for each request, almost none of them passes, and package net would set a timer of the
// runtime for each. Writes by REST have 1.05 to 1.1 times the rate that they have without it
// (BenchmarkWritesREST).
//
// When a WebSocket or a stream takes the connection over, it continues with the one below.
type requestConn struct {
	plainConn
	fd descriptor

	mu     sync.Mutex // guards the fields below, but for deadline.busy
	closed bool
	reads  deadline
	writes deadline
}

// maxRawWrite is how much is written past the scheduler at once. While a client reads fast, one
// system call could take tens of megabytes, and no other goroutine would get its processor.
const maxRawWrite = 64 << 10

// A deadline is that of a connection's reads or writes. The connection below may have an earlier
// one, at which a read or write finds out that the deadline has moved.
type deadline struct {
	busy  sync.Mutex // held during a read or write: one comes after the other, as package net's do
	at    time.Time  // zero: none
	below time.Time  // of the connection below; zero: none
	waits bool       // a read or write is under way that looks only at the one below
}

// NetConn returns the connection below.
func (c *requestConn) NetConn() net.Conn { return c.plainConn }

// Read waits for bytes and reads them.
func (c *requestConn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reads.busy.Lock()
	defer c.reads.busy.Unlock()
	if c.lacksDeadline(&c.reads) { // a new client's request has often come already
		if n := c.fd.tryRead(p); n > 0 {
			return n, nil
		}
	}
	err = c.wait(&c.reads, func() error {
		n, err = c.fd.read(p)
		return err
	})
	return n, err
}

// Write writes all of p.
func (c *requestConn) Write(p []byte) (n int, err error) {
	c.writes.busy.Lock()
	defer c.writes.busy.Unlock()
	if err := c.check(&c.writes); err != nil {
		return 0, err
	}
	if len(p) <= maxRawWrite {
		n, err = c.fd.tryWrite(p)
		if err != nil || n == len(p) {
			return n, err
		}
	}
	err = c.wait(&c.writes, func() error {
		more, err := c.plainConn.Write(p[n:])
		n += more
		return err
	})
	return n, err
}

// wait calls do, which reads or writes with the deadline of the connection below, until that
// was not too early.
func (c *requestConn) wait(d *deadline, do func() error) error {
	for {
		if err := c.begin(d); err != nil {
			return err
		}
		if err := do(); c.finish(d, err) {
			return err
		}
	}
}

// lacksDeadline reports whether a read that waits has to set the deadline of the connection below,
// which has none.
func (c *requestConn) lacksDeadline(d *deadline) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && d.below.IsZero() && !d.at.IsZero() && !d.passed()
}

// begin makes sure that a read or write ends at its deadline at the latest.
func (c *requestConn) begin(d *deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if !d.at.IsZero() && (d.below.IsZero() || d.at.Before(d.below)) {
		if !time.Now().Before(d.at) {
			return os.ErrDeadlineExceeded
		}
		if err := c.setBelow(d, d.at); err != nil {
			return err
		}
	}
	d.waits = true
	return nil
}

// finish reports whether a read or write that returned err has ended, and not only because the
// deadline of the connection below was too early.
func (c *requestConn) finish(d *deadline, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.waits = false
	if !errors.Is(err, os.ErrDeadlineExceeded) || d.passed() {
		return true
	}
	return c.setBelow(d, time.Time{}) != nil
}

// check returns the error of a read or write that cannot begin.
func (c *requestConn) check(d *deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case d.passed():
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (c *requestConn) setBelow(d *deadline, t time.Time) error {
	d.below = t
	if d == &c.reads {
		return c.plainConn.SetReadDeadline(t)
	}
	return c.plainConn.SetWriteDeadline(t)
}

func (c *requestConn) set(d *deadline, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	d.at = t
	if d.waits {
		return c.setBelow(d, t)
	}
	return nil
}

// SetReadDeadline sets the deadline of reads, also of one under way.
func (c *requestConn) SetReadDeadline(t time.Time) error { return c.set(&c.reads, t) }

// SetWriteDeadline sets the deadline of writes, also of one under way.
func (c *requestConn) SetWriteDeadline(t time.Time) error { return c.set(&c.writes, t) }

// SetDeadline sets both deadlines.
func (c *requestConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close closes the connection. Reads and writes under way end.
func (c *requestConn) Close() error {
	c.end()
	return c.plainConn.Close()
}

// end ends the use of the connection below.
func (c *requestConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.fd.close()
}

// below returns the connection below a requestConn, and other ones as they are.
func below(conn net.Conn) net.Conn {
	if c, ok := conn.(*requestConn); ok {
		return c.plainConn
	}
	return conn
}

// takenOver returns the connection below one that net/http has given up, without deadlines.
func takenOver(conn net.Conn) net.Conn {
	c, ok := conn.(*requestConn)
	if !ok {
		return conn
	}
	c.end()
	_ = c.plainConn.SetDeadline(time.Time{}) // it fails if the connection is closed, as the next read says
	return c.plainConn
}
