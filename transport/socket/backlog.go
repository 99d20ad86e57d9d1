package socket

import (
	"context"
	"slices"
	"sync"
)

const (
	// maxBacklog limits the messages of a backlog, in bytes. One message may exceed it.
	maxBacklog = 64 << 10

	// backlogItem is what a message of a backlog costs besides its text. It bounds their
	// number.
	backlogItem = 64
)

// A backlog holds the messages that were read while an earlier one is being handled.
//
// The goroutine of Serve usually reads and handles in turn. While a call of Handle takes long, because the client is slow to take what it
// asked for or the store is slow, nothing would read the client's pings and its close
// frame. Then Readers starts a second goroutine that reads: control frames are answered as
// they come, and messages go into the backlog. The first goroutine handles the backlog and
// ends; the second one then reads and handles in turn, until a call takes long again. If
// the backlog is full the second goroutine reads nothing more. That slows a client that
// asks for more than it takes.
type backlog struct {
	mu       sync.Mutex
	room     sync.Cond // of mu: there is room, or handled is set
	messages [][]byte
	bytes    int
	handled  bool  // nothing is left for the first goroutine
	ended    bool  // nothing more is read: the first goroutine ends the session
	cause    error // why

	idle chan struct{} // closed when nothing is left for the first goroutine
}

func newBacklog() *backlog {
	b := &backlog{idle: make(chan struct{})}
	b.room.L = &b.mu
	return b
}

// awaitRoom waits until another message may be read.
func (w *wire) awaitRoom() {
	b := w.underWay()
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes >= maxBacklog && !b.handled {
		b.room.Wait()
	}
}

// enqueue adds a message to the backlog. It reports false if no other goroutine handles
// messages.
func (w *wire) enqueue(text []byte) bool {
	b := w.underWay()
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.handled {
		return false
	}
	b.messages = append(b.messages, slices.Clone(text))
	b.bytes += len(text) + backlogItem
	return true
}

// leaveEnd leaves the end to the goroutine that handles messages. It reports false if no
// other goroutine does.
func (w *wire) leaveEnd(cause error) bool {
	b := w.underWay()
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.handled {
		return false
	}
	b.ended, b.cause = true, cause
	return true
}

// underWay returns the backlog that another goroutine handles, nil if none does. That goroutine may
// be done at any moment, and Readers then removes the backlog.
func (w *wire) underWay() *backlog {
	if w.calls.Load()&readsAhead == 0 {
		return nil
	}
	return w.backlog.Load()
}

// settle waits until the messages that were read are handled, or ctx ends. The goroutine
// that reads calls it.
func (w *wire) settle(ctx context.Context) {
	b := w.underWay()
	if b == nil {
		return
	}
	select {
	case <-b.idle:
	case <-ctx.Done():
	}
}

// handleBacklog handles the messages that another goroutine has read meanwhile. err is the
// error of the call of Handle that took long.
func (c *Conn) handleBacklog(err error) {
	w, b := &c.wire, c.wire.backlog.Load()
	for {
		if err != nil {
			c.stop(err, false)
		}
		if text, ok := b.take(); ok {
			if err == nil {
				err = c.handler.Handle(text)
			}
			continue
		}
		w.session.Uncork() // the other goroutine may be in a read, and has uncorked before
		switch left, ended := b.leave(w); {
		case ended:
			c.end(b.cause)
			return
		case left:
			return
		}
	}
}

// take removes the oldest message.
func (b *backlog) take() (text []byte, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) == 0 {
		return nil, false
	}
	text = b.messages[0]
	b.messages[0] = nil
	b.messages = b.messages[1:]
	b.bytes -= len(text) + backlogItem
	b.room.Signal()
	return text, true
}

// leave lets the reader handle the next message itself, if no message waits. If nothing
// more is read, ended is true, and the caller ends the session.
func (b *backlog) leave(w *wire) (left, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) > 0 {
		return false, false
	}
	if !b.ended {
		b.messages = nil
		b.handled = true
		w.calls.And(^uint64(readsAhead))
		b.room.Signal()
	}
	close(b.idle)
	return true, b.ended
}
