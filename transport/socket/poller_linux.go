package socket

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A poller waits for connections that are parked: nothing has come for a while, so they have
// no goroutine. When something comes, or the connection ends or is closed, it is read from again: by
// the leader or by a goroutine that the leader starts. The zero value is ready to use.
//
// An idle client takes 6.2 KB instead of 10.8 KB (BenchmarkIdleConnection): a goroutine has a
// stack of 4 KB and a descriptor of 0.5 KB. A goroutine that waits on a stack of 2 KB and
// reads on another one would save 2 KB of that at best.
//
// A connection has its own goroutine while it is read from, and some time longer. So while
// messages follow each other a poller costs nothing (BenchmarkWrites): there is no call of
// epoll_ctl(2) and no change of the goroutine. A device that sends a message each second is
// parked again at once. To wait and be called off cost 27 µs for each message.
type poller struct {
	mu     sync.Mutex
	file   *os.File      // epoll(7); nil until a connection is parked
	epoll  int           // its descriptor
	ended  chan struct{} // closed when the leader has ended
	parked []*Conn       // by descriptor

	pausing *leader     // the one that paused last
	deputy  *time.Timer // calls look
	looking bool        // the deputy is set
}

// add parks a connection. It reports false if the connection is being closed, or cannot be
// parked. If it reports true, another goroutine may be reading already.
//
// It locks closeMu and the descriptor, so either it sees that the connection is being closed,
// or the call of remove that comes with the closing sees the connection parked.
func (p *poller) add(c *Conn) bool {
	w := &c.wire
	w.closeMu.Lock()
	defer w.closeMu.Unlock()
	w.fd.mu.Lock()
	defer w.fd.mu.Unlock()
	if w.closing || !w.fd.isOpen {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil && !p.openLocked() {
		return false
	}
	if missing := w.fd.fd + 1 - len(p.parked); missing > 0 {
		p.parked = append(p.parked, make([]*Conn, missing)...)
	}
	p.parked[w.fd.fd] = c
	if !p.armLocked(w.fd.fd) {
		p.parked[w.fd.fd] = nil
		return false
	}
	return true
}

// armLocked asks for one event of a descriptor. If something has come already the event
// comes at once, so nothing is missed.
func (p *poller) armLocked(fd int) (ok bool) {
	// The number is in the event; the poller finds the connection by it. The system forgets a
	// descriptor that is closed. It fails if the system has no memory for it.
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
	errno := epollControl(p.epoll, unix.EPOLL_CTL_MOD, fd, &event)
	if errno == unix.ENOENT { // it has not been parked before
		errno = epollControl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event)
	}
	return errno == 0
}

// remove gives a parked connection a goroutine again, because it is being closed. It does
// nothing to others.
func (p *poller) remove(w *wire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd := w.fd.fd; fd < len(p.parked) && p.parked[fd] != nil && &p.parked[fd].wire == w {
		p.resumeLocked(fd)
	}
}

// resumeLocked starts the goroutine of the connection that is parked with a descriptor.
func (p *poller) resumeLocked(fd int) {
	if c := p.takeLocked(fd); c != nil {
		go c.read() // it is parked again, or calls Handler.End
	}
}

// take returns the connection that is parked with a descriptor, and that is to be read from now.
// If it is nil, the event was that of a connection that has been removed.
func (p *poller) take(fd int) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takeLocked(fd)
}

func (p *poller) takeLocked(fd int) *Conn {
	c := p.parked[fd]
	if c != nil {
		p.parked[fd] = nil
		c.wire.resume()
	}
	return c
}

// openLocked starts to wait.
func (p *poller) openLocked() bool {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false // too many files are open
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return false
	}
	file := os.NewFile(uintptr(fd), "epoll") // Go's own poller waits on it, without a thread
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return false
	}
	p.file, p.epoll, p.ended = file, fd, make(chan struct{})
	l := &leader{poller: p, epoll: raw, ended: p.ended, events: make([]unix.EpollEvent, 128)}
	go l.lead()
	return true
}

// close ends the wait. No connection is parked, or is being parked.
func (p *poller) close() {
	p.mu.Lock()
	file, ended := p.file, p.ended
	p.file = nil
	p.mu.Unlock()
	if file != nil {
		_ = file.Close()
		<-ended
	}
}
