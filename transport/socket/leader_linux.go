package socket

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A leader is the goroutine that waits for the parked connections.
//
// It also reads from them and handles what they send, so that no other processor has to wake up: a
// write of a device that writes once a second takes 37 µs instead of 70 (BenchmarkWritesDevices).
// Before the leader has to wait for anything else, it makes another goroutine the leader, and goes
// on as the goroutine of the connection (Leader/Followers, in: Schmidt et al., Pattern-Oriented
// Software Architecture, volume 2). It never enters the WebSocket library, whose locks the session
// may hold.
//
// If it only has to write to a disk that is fast as a rule it stays the leader, because to wake
// another goroutine takes longer than that. The deputy, a timer, makes another goroutine the leader
// if the disk is slow this time.
//
// Tried: a thread that blocks in epoll_wait(2) took 50 µs, because the runtime takes its processor
// away and gives it back.
type leader struct {
	poller *poller
	epoll  syscall.RawConn
	ended  chan<- struct{}
	events []unix.EpollEvent // room for those that come
	due    []unix.EpollEvent // have come, and are not served yet
	over   bool

	paused *Conn // between pause and resume; poller.mu is held to use it
	seen   bool  // the deputy has seen this pause
}

// manyDue is the number of connections on which something has come, from which on they get
// goroutines, so that other processors serve some of them.
const manyDue = 8

// lead serves the connections on which something comes, until the poller is closed or another
// goroutine leads.
func (l *leader) lead() {
	for {
		for len(l.due) > 0 {
			e := l.due[0]
			l.due = l.due[1:]
			c := l.poller.take(int(e.Fd))
			switch ends := e.Events&^unix.EPOLLIN != 0; {
			case c == nil:
			case ends || len(l.due) >= manyDue || !c.wire.mayLead():
				go c.read()
			default:
				c.wire.leader.Store(l)
				if c.read(); l.over {
					return
				}
			}
		}
		err := l.epoll.Read(func(fd uintptr) (done bool) {
			l.due = l.events[:epollWait(int(fd), l.events)]
			return len(l.due) > 0
		})
		if err != nil { // it is closed
			close(l.ended)
			return
		}
	}
}

// mayLead reports whether the leader may read from a connection that has just been resumed: the
// client sends seldom, and no other goroutine still handles an earlier message.
func (w *wire) mayLead() bool {
	return w.seldom.Load() && w.calls.Load()&(handling|readsAhead) == 0
}

// end makes another goroutine the leader.
func (l *leader) end() {
	next := &leader{poller: l.poller, epoll: l.epoll, ended: l.ended, events: l.events, due: l.due}
	l.over = true
	go next.lead()
}

// deputyInterval is how often the deputy looks. A pause lasts twice as long at most.
const deputyInterval = 20 * time.Millisecond

// pause is called before the leader waits for what is fast as a rule, on behalf of a connection.
// resume must follow.
func (l *leader) pause(c *Conn) {
	p := l.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	l.paused, l.seen = c, false
	p.pausing = l
	switch {
	case p.deputy == nil:
		p.deputy = time.AfterFunc(deputyInterval, p.look)
	case !p.looking:
		p.deputy.Reset(deputyInterval)
	}
	p.looking = true
}

func (l *leader) resume() {
	l.poller.mu.Lock()
	defer l.poller.mu.Unlock()
	l.paused = nil
}

// look makes another goroutine the leader if it sees the same pause for the second time. It looks
// again as long as there are pauses.
func (p *poller) look() {
	p.mu.Lock()
	l := p.pausing
	c := l.paused
	switch {
	case c == nil:
		p.looking = false
	case !l.seen:
		l.seen = true
		p.deputy.Reset(deputyInterval)
	default:
		p.looking = false
		l.paused = nil
		l.end()
		c.wire.leader.Store(nil) // afterwards, because Resume then locks nothing
	}
	taken := c != nil && !p.looking
	p.mu.Unlock()
	if taken {
		c.wire.readers.watch(c) // it locks Readers.mu before the poller's
	}
}
