package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/coder/websocket"
)

const (
	// StallTimeout is the longest time for which a client may read nothing while something
	// is written.
	StallTimeout = 10 * time.Second

	// CloseTimeout is how long the server waits for the client's close frame
	// after it has sent its own.
	CloseTimeout = time.Second

	// LingerTimeout is CloseTimeout for a client that is still sending a message
	// that is too big. It reads the close frame when it has sent everything, and
	// a connection that is closed before that would lose the frame (RFC 9112,
	// section 9.6).
	LingerTimeout = 5 * time.Second

	// PongTimeout is how long the server waits for a pong.
	PongTimeout = 10 * time.Second

	// drainTimeout limits the time for the waiting messages when the client closes. The library gives its own close frame 5 s in all.
	drainTimeout = 4 * time.Second
)

// The errors that end a connection, besides those of the network and
// [websocket.CloseError].
var (
	ErrStalled        = errors.New("socket: client takes no bytes")
	ErrMessageTimeout = errors.New("socket: message not complete in time")
	ErrBinary         = errors.New("socket: binary message")
	ErrProtocol       = errors.New("socket: client broke the protocol")
)

// IsLost reports whether an error of a connection says that the connection is
// gone.
func IsLost(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// A Session is the user of a connection. *session.Session is one. Its methods may
// be called from any goroutine. Only Drain may block.
type Session interface {
	// Uncork is called before a read that may block: no request is left that a
	// reply could wait for.
	Uncork()

	// Flush is called when a control frame waits. The session calls TakeFrames, and
	// TryWrite or Write, soon.
	Flush()

	// StopSnapshot is called when the client's close frame was read. A snapshot that
	// is being sent ends, because the client does not wait for the rest.
	StopSnapshot()

	// Drain is called before the client's close frame is answered. The session
	// writes the waiting messages, and nothing after them.
	Drain(ctx context.Context) error

	// Ending reports whether the session has begun to end: then a slow client
	// gets no more time.
	Ending() bool
}

// A Conn is the connection of one WebSocket. The zero value is ready for Accept.
//
// One goroutine calls Serve. The session's actor calls TakeFrames, TryWrite, Write and
// Close, one call at a time. The other methods may be called from any goroutine.
type Conn struct {
	wire    wire // first, because each write begins there
	ws      *websocket.Conn
	handler Handler // set by Serve
}

// Start sets the session. It comes after Accept and before all other calls.
func (c *Conn) Start(s Session) {
	w := &c.wire
	w.session = s
	if w.fd.usable() { // it is parked after its first message: many clients subscribe, and send nothing more
		w.seldom.Store(true)
		w.resumed = true
	}
}

// Subprotocol returns the subprotocol that was agreed on, or "".
func (c *Conn) Subprotocol() string { return c.ws.Subprotocol() }

// Sent returns the number of bytes that were written, frame headers included.
func (c *Conn) Sent() uint64 { return c.wire.sent.Load() }

// CanTry reports whether TryWrite may be called: there is a descriptor that can be
// written to without blocking. There is none under TLS, and on systems other than
// Linux.
func (c *Conn) CanTry() bool { return c.wire.fd.usable() }

// next waits for the next text message and returns its reader. The caller reads it
// to its end, or to an error, and then calls finish. next returns ErrBinary,
// ErrMessageTimeout, ErrProtocol, a [websocket.CloseError], errIdle, or an error for which
// IsLost holds.
func (c *Conn) next() (io.Reader, error) {
	// The library closes a connection when a call's context ends. Deadlines do
	// the same without work for each message.
	kind, message, err := c.ws.Reader(context.Background())
	switch {
	case errors.Is(err, errIdle):
		return nil, errIdle
	case err != nil && c.wire.headerIsLate(err):
		return nil, ErrMessageTimeout
	case err != nil:
		return nil, explain(err)
	case kind != websocket.MessageText:
		return nil, ErrBinary
	}
	c.wire.beginMessage()
	return message, nil
}

// finish ends the reading of a message. err is the error of the message's reader, nil at
// its end. finish returns nil, or the error with which the connection ends, as next does.
func (c *Conn) finish(err error) error {
	timed := c.wire.endMessage()
	switch {
	case err == nil:
		return nil
	case timed && errors.Is(err, os.ErrDeadlineExceeded):
		return ErrMessageTimeout
	}
	return explain(err)
}

// explain returns the errors of the connection as they are, and turns the library's
// complaints about the client's frames into ErrProtocol.
func explain(err error) error {
	if _, closed := errors.AsType[websocket.CloseError](err); closed || IsLost(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrProtocol, err)
}
