package socket

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// Close sends a close frame with a code and a reason, and waits for the client's
// close frame for CloseTimeout, or LingerTimeout if it is still sending a message that
// is too big. If nothing can be
// written any more it cuts the connection. It does nothing if the library is
// answering the client's close frame.
func (c *Conn) Close(code websocket.StatusCode, reason string) {
	switch {
	case c.wire.broken():
		c.Cut()
	case c.wire.mayClose():
		c.wire.readers.poller.remove(&c.wire)
		_ = c.ws.Close(code, reason) // it fails if the client has gone
	}
}

// LeftNormally reports whether the client has closed the WebSocket with 1000 by itself. It is
// true before the client can have read the answer; the cause of the session's end may be
// set later.
func (c *Conn) LeftNormally() bool { return c.wire.leftNormally.Load() }

// Cut ends the connection at once, without a close frame. Under TLS it first closes the
// connection below: a [tls.Conn] would wait up to 5 s until the client takes its alert.
func (c *Conn) Cut() {
	if layer, ok := c.wire.Conn.(*tls.Conn); ok {
		_ = layer.NetConn().Close()
	}
	_ = c.wire.Close()
}

// Await waits for the client's close frame, for CloseTimeout at most, if the
// library has sent one because the client broke the protocol. Otherwise it does
// nothing. Handler.End calls it.
func (c *Conn) Await(code websocket.StatusCode, reason string) { _ = c.ws.Close(code, reason) }

// Release cuts the connection and ends the library's use of it. It is the last call.
func (c *Conn) Release() { _ = c.ws.CloseNow() }

// Close ends the network connection, for the library and Cut.
func (w *wire) Close() error {
	w.fd.close()
	w.readers.poller.remove(w) // while no other file has the descriptor's number
	return w.output.Close()
}

// The session and the library may both begin to close the WebSocket: the first
// because the session ends, the second to answer the client. mayClose and mayEcho
// settle which of them does: each sets its own flag and then reads the other's. So at most
// one of them waits for the other.

func (w *wire) mayClose() bool {
	w.closeMu.Lock()
	w.closing = true
	w.closeMu.Unlock()
	return !w.echoing.Load()
}

func (w *wire) mayEcho() bool {
	if w.isClosing() {
		return false
	}
	w.echoing.Store(true)
	return !w.isClosing()
}

func (w *wire) isClosing() bool {
	w.closeMu.Lock()
	defer w.closeMu.Unlock()
	return w.closing
}

// writeClose writes a close frame, after which nothing is written. If the library
// begins to close, on the reader's goroutine, the requests that were read are handled
// first, and the waiting messages are sent.
func (w *wire) writeClose(frame []byte) error {
	if w.mayEcho() {
		w.leftNormally.Store(len(frame) >= 4 && frame[2] == 1000>>8 && frame[3] == 1000&0xff) // before the client can know
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		w.session.StopSnapshot()
		w.settle(ctx)
		_ = w.session.Drain(ctx) // messages that still wait after that are lost
		cancel()
	}
	if reason := frame[min(4, len(frame)):]; !utf8.Valid(reason) { // the client's own, echoed (RFC 6455, section 8.1)
		code := websocket.StatusInvalidFramePayloadData
		frame = []byte{frame[0], 2, byte(code >> 8), byte(code & 0xff)}
	}
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.torn && w.writeErr == nil {
		w.writeErr = ErrStalled
	}
	if err := w.writeLocked(frame, time.Now()); err != nil {
		return err
	}
	w.writeErr = fmt.Errorf("socket: after the close frame: %w", net.ErrClosed)
	return w.setFinalReadDeadline()
}

// setFinalReadDeadline gives the client its time for its own close frame.
func (w *wire) setFinalReadDeadline() error {
	timeout := CloseTimeout
	if w.lingers.Load() {
		timeout = LingerTimeout
	}
	w.closeMu.Lock()
	defer w.closeMu.Unlock()
	w.closeSent = true
	return w.SetReadDeadline(time.Now().Add(timeout))
}

// broken reports whether nothing can be written any more, not even a close frame.
func (w *wire) broken() bool {
	w.writing.Lock()
	defer w.writing.Unlock()
	return w.writeErr != nil
}
