package socket

import (
	"errors"
	"io"

	"github.com/coder/websocket"
)

// A Handler handles the messages of a connection. Serve calls it.
type Handler interface {
	// MaxMessage returns how long the next message may be, in bytes.
	MaxMessage() int

	// Handle handles a message and must not keep it. After an error no other message is
	// handled.
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
	watched                // Readers watches the calls
	stopped                // Stop was called
	oneCall
)

// Serve reads messages and passes them to h, one at a time and in the order sent, until
// the connection ends. Then it calls h.Stop and h.End.
//
// If a call of Handle takes long, a second goroutine continues as the reader (see
// backlog.go), and Serve returns when nothing is left for the first one. So Serve may
// return before the connection ends.
func (c *Conn) Serve(h Handler) {
	for {
		c.wire.awaitRoom()
		message, err := c.next()
		if err != nil {
			c.endReading(h, err)
			return
		}
		if !c.serveMessage(h, message) {
			return
		}
		if c.wire.drained() { // the next read would uncork, too, but with a deeper stack
			c.wire.session.Uncork()
		}
	}
}

// serveMessage reads one message and handles it, or leaves it to the goroutine that is
// handling an earlier one. It reports whether this goroutine is to read on.
func (c *Conn) serveMessage(h Handler, message io.Reader) (goOn bool) {
	w := &c.wire
	buffer := TakeBuffer()
	defer buffer.Free()
	err := buffer.ReadAll(message, h.MaxMessage(), w.readers.Crowded)
	err = c.finish(err)
	if errors.Is(err, ErrTooBig) || errors.Is(err, ErrNoMemory) {
		w.lingers.Store(true)
		err = ErrTooBig
	}
	if err != nil {
		c.endReading(h, err)
		return false
	}
	if w.enqueue(buffer.Bytes) {
		return true
	}
	if w.calls.Add(handling)&watched == 0 {
		w.readers.watch(c, h)
	}
	err = h.Handle(buffer.Bytes)
	if w.calls.Add(oneCall-handling)&readsAhead != 0 {
		c.handleBacklog(h, err)
		return false
	}
	if err != nil {
		c.end(h, err)
		return false
	}
	return true
}

// endReading is called when no message can be read any more. A client that has left is
// noticed at once. In the other cases the messages that were read before come first.
func (c *Conn) endReading(h Handler, cause error) {
	if hasLeft(cause) {
		c.stop(h, cause, true)
	}
	if !c.wire.leaveEnd(cause) {
		c.end(h, cause)
	}
}

// hasLeft reports whether the client has closed the WebSocket, or the connection is lost.
// After the end of its bytes (a half-closed connection) a client may still read.
func hasLeft(cause error) bool {
	var closed websocket.CloseError
	return errors.As(cause, &closed) || IsLost(cause) && !errors.Is(cause, io.EOF)
}

func (c *Conn) stop(h Handler, cause error, gone bool) {
	if c.wire.calls.Or(stopped)&stopped == 0 {
		h.Stop(cause, gone)
	}
}

func (c *Conn) end(h Handler, cause error) {
	c.stop(h, cause, false)
	h.End(cause)
}
