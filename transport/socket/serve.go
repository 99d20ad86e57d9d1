package socket

import (
	"errors"
	"io"
	"time"

	"github.com/coder/websocket"
)

// A Handler handles the messages of a connection. Serve calls it.
type Handler interface {
	// MaxMessage returns how long the next message may be, in bytes.
	MaxMessage() int

	// Handle handles a message and must not keep it. It calls Conn.Detach before it waits for
	// anything, or does what takes long. After an error no other message is handled.
	Handle(text []byte) error

	// Stop begins to end the session. It is called once. If gone is true the client has
	// closed the WebSocket, or the connection is lost; then a call of Handle may be under
	// way on another goroutine.
	Stop(cause error, gone bool)

	// End is called once, after all other calls have returned.
	End(cause error)
}

// The bits of wire.calls. The bits above them count the calls of Handle.
const (
	handling   = 1 << iota // a call of Handle is under way, and the same goroutine reads
	readsAhead             // another goroutine reads than the one that handles: see backlog
	watched                // Readers looks at the connection
	stopped                // Stop was called
	oneCall
)

// Serve reads messages and passes them to h, one at a time and in the order sent, until
// the connection ends. Then it calls h.Stop and h.End.
//
// If a call of Handle takes long, a second goroutine continues as the reader (see
// backlog.go). If nothing comes, and after the first message, the connection is parked: it has no
// goroutine until something comes (see poller_linux.go). So Serve may return before the connection
// ends.
func (c *Conn) Serve(h Handler) {
	c.handler = h
	c.wire.readers.enter()
	if c.wire.fd.usable() {
		c.wire.readers.watch(c)
	}
	c.read()
}

// read serves the connection until it is parked or ends, or nothing is left for this
// goroutine.
func (c *Conn) read() {
	if c.wire.fd.usable() && !c.wire.seldom.Load() {
		c.wire.readers.watch(c)
	}
	for n := 1; ; n++ {
		c.wire.awaitRoom()
		message := c.takeMessage()
		if message == nil {
			err := c.wire.end()
			if err == nil && c.Leads() && c.rest() { // only pongs have come
				return
			}
			c.Detach()
			if err == nil {
				message, err = c.readMessage()
			}
			switch {
			case err == errIdle && c.park():
				return
			case err == errIdle:
				continue // it is being closed
			case err != nil:
				c.endReading(err)
				return
			}
		} else if n > fewMessages {
			c.Detach()
		}
		if !c.serveMessage(message) || c.rest() {
			return
		}
	}
}

// rest is called when a message was handled. If nothing that has come is left, it sends the
// replies, and parks a connection whose client sends seldom. It reports whether the connection is
// parked.
func (c *Conn) rest() (parked bool) {
	w := &c.wire
	if !w.drained() {
		return false
	}
	w.session.Uncork() // the next read would, too, but with a deeper stack
	return w.seldom.Load() && w.idle() && w.calls.Load()&readsAhead == 0 && c.park()
}

// fewMessages is how many messages the poller's leader handles before it serves another
// connection.
const fewMessages = 8

// Leads reports whether other clients wait for the goroutine that handles messages, which calls it.
func (c *Conn) Leads() bool { return c.wire.leader.Load() != nil }

// Detach says that the goroutine which handles messages has to wait, or that what it does takes
// long. If other clients wait for it, another goroutine serves them. Handler.Handle calls it
// before that.
func (c *Conn) Detach() {
	if l := c.wire.leader.Swap(nil); l != nil {
		l.end()
		c.wire.readers.watch(c)
	}
}

// Pause says that the goroutine which handles messages is about to do what takes a fraction of a
// millisecond as a rule, but may take long. If it does, and other clients wait for the goroutine,
// another one serves them. Resume must follow.
func (c *Conn) Pause() {
	if l := c.wire.leader.Load(); l != nil {
		l.pause(c)
	}
}

// Resume ends a Pause.
func (c *Conn) Resume() {
	if l := c.wire.leader.Load(); l != nil {
		l.resume()
	}
}

// park leaves the connection to the poller. It reports false if that is not possible.
func (c *Conn) park() bool {
	l := c.wire.leader.Swap(nil) // it goes on without this connection
	c.wire.blockedSince.Store(-time.Now().UnixNano())
	if c.wire.readers.poller.add(c) {
		return true
	}
	c.wire.blockedSince.Store(0)
	c.wire.seldom.Store(false)
	c.wire.leader.Store(l)
	return false
}

// readMessage waits for the next message and reads it. Its errors are those of next, finish and
// Buffer.ReadAll.
func (c *Conn) readMessage() (*Buffer, error) {
	reader, err := c.next()
	if err != nil {
		return nil, err
	}
	message := TakeBuffer()
	err = c.finish(message.ReadAll(reader, c.handler.MaxMessage(), c.wire.readers.Crowded))
	if errors.Is(err, ErrTooBig) || errors.Is(err, ErrNoMemory) {
		c.wire.lingers.Store(true)
		err = ErrTooBig
	}
	if err != nil {
		message.Free()
		return nil, err
	}
	return message, nil
}

// serveMessage handles a message, or leaves it to the goroutine that is handling an earlier one.
// It reports whether this goroutine is to read on.
func (c *Conn) serveMessage(buffer *Buffer) (goOn bool) {
	w := &c.wire
	defer buffer.Free()
	if w.enqueue(buffer.Bytes) {
		return true
	}
	if w.calls.Add(handling)&watched == 0 && w.leader.Load() == nil {
		w.readers.watch(c)
	}
	err := c.handler.Handle(buffer.Bytes)
	if w.calls.Add(oneCall-handling)&readsAhead != 0 {
		c.handleBacklog(err)
		return false
	}
	if err != nil {
		c.Detach()
		c.end(err)
		return false
	}
	return true
}

// endReading is called when no message can be read any more. A client that has left is
// noticed at once. In the other cases the messages that were read before come first.
func (c *Conn) endReading(cause error) {
	if hasLeft(cause) {
		c.stop(cause, true)
	}
	if !c.wire.leaveEnd(cause) {
		c.end(cause)
	}
}

// hasLeft reports whether the client has closed the WebSocket, or the connection is lost.
// After the end of its bytes (a half-closed connection) a client may still read, also if they end
// within a message.
func hasLeft(cause error) bool {
	_, closed := errors.AsType[websocket.CloseError](cause)
	return closed || IsLost(cause) && !errors.Is(cause, io.EOF) && !errors.Is(cause, io.ErrUnexpectedEOF)
}

func (c *Conn) stop(cause error, gone bool) {
	if c.wire.calls.Or(stopped)&stopped == 0 {
		c.handler.Stop(cause, gone)
	}
}

func (c *Conn) end(cause error) {
	c.stop(cause, false)
	c.wire.readers.leave()
	c.handler.End(cause)
}
