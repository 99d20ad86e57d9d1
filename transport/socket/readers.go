package socket

import (
	"sync"
	"time"
)

// lookInterval is how often Readers looks at the connections that are read from. A call of
// Handle that takes once to twice as long gets a second goroutine. A connection on which
// nothing comes for as long is parked.
const lookInterval = 100 * time.Millisecond

// Readers are the settings that the connections of a server share, and the watch over
// the goroutines that read from them. The zero value is ready to use. The fields must not be
// changed once a connection was accepted.
//
// There is one timer for all connections, and none while all are idle: a timer for each
// message would cost more than many messages.
type Readers struct {
	MessageTimeout time.Duration // from the first byte of a message to its last
	Crowded        func() bool   // memory is short, so no long message is read; may be nil

	links  Links // of servers that are not the transport's
	poller poller

	mu     sync.Mutex
	served int // connections that are served
	busy   []busyReader
	timer  *time.Timer // set while busy is not empty
}

// A busyReader is a connection that has a goroutine, and has been read from lately.
type busyReader struct {
	conn  *Conn
	calls uint64 // how many had ended at the last look
}

// notSeen is busyReader.calls before the first look.
const notSeen = ^uint64(0)

func (r *Readers) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served++
}

// leave ends the poller with the last connection.
func (r *Readers) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.served--; r.served == 0 {
		r.poller.close()
	}
}

// watch begins to look at a connection, if it is not being looked at.
func (r *Readers) watch(c *Conn) {
	if c.wire.calls.Or(watched)&watched != 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = append(r.busy, busyReader{c, notSeen})
	switch {
	case r.timer == nil:
		r.timer = time.AfterFunc(lookInterval, r.look)
	case len(r.busy) == 1:
		r.timer.Reset(lookInterval)
	}
}

// look parks the connections that are idle, and starts a second goroutine for those whose
// call takes long.
func (r *Readers) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.busy[:0]
	for _, x := range r.busy {
		if x.look() {
			kept = append(kept, x)
		}
	}
	clear(r.busy[len(kept):])
	if r.busy = kept; len(kept) == 0 {
		r.busy = nil
		return
	}
	r.timer.Reset(lookInterval)
}

// look reports whether the connection must be looked at again. No call is missed if that
// is false: the compare-and-swap fails if another call begins at the same moment.
func (x *busyReader) look() (again bool) {
	w := &x.conn.wire
	state := w.calls.Load()
	switch {
	case state/oneCall != x.calls:
		x.calls = state / oneCall
		return true
	case state&readsAhead != 0:
		return true // until the backlog is handled
	case state&handling != 0 && w.leader.Load() != nil:
		return true // until it calls Detach
	case state&handling != 0:
		w.backlog.Store(newBacklog())
		w.closeMu.Lock() // no call of More is under way
		ahead := w.calls.CompareAndSwap(state, state|readsAhead)
		w.closeMu.Unlock()
		if ahead {
			go x.conn.read() // it ends before, or calls, Handler.End
		}
		return true
	}
	w.backlog.Store(nil)
	if !w.calls.CompareAndSwap(state, state&^watched) {
		return true
	}
	if state&stopped != 0 || !w.fd.usable() || w.blockedSince.Load() < 0 || w.callOff() {
		return false
	}
	return w.calls.Or(watched)&watched == 0 // a message has begun to come
}
