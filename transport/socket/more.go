package socket

import (
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// This file reads the text messages that have come as a whole, as those of a client that sends
// many at once. The library would take two thirds of a microsecond for each, for its locks, which
// are channels, and its states (BenchmarkFanoutManyKeys, BenchmarkWrites/inflight=16). Pongs that
// stand before such a message, or that the poller's leader finds, are read here, too. All other
// frames are left to the library.

// maxHeader is the length of the longest header of a frame (RFC 6455, section 5.2), and maskLength
// that of the mask at its end.
const (
	maxHeader  = 14
	maskLength = 4
)

// More reports whether another text message has come as a whole. If so, Serve calls
// Handler.Handle or Handler.End soon, without waiting for the client. Only Handler.Handle may
// call it. It reports false if another goroutine reads.
func (c *Conn) More() bool {
	return c.wire.hasMessage(true)
}

// hasMessage reports whether the next text message has come as a whole. The goroutine that
// handles messages is told that none has if another one reads.
func (w *wire) hasMessage(handles bool) bool {
	w.closeMu.Lock() // the session's actor reads, too, once closing is set
	defer w.closeMu.Unlock()
	if handles && w.calls.Load()&readsAhead != 0 { // see busyReader.look
		return false
	}
	_, _, ok := w.wholeMessageLocked()
	return ok
}

// takeMessage reads the next message without waiting, if it is text, has come as a whole and is
// not too long. Otherwise it returns nil. Only the goroutine that reads calls it, between two
// messages.
func (c *Conn) takeMessage() *Buffer {
	w := &c.wire
	if !w.hasMessage(false) {
		return nil
	}
	limit := c.handler.MaxMessage() // it may wait for a call of Handle, which calls More
	w.closeMu.Lock()
	defer w.closeMu.Unlock()
	header, payload, ok := w.wholeMessageLocked()
	if !ok || payload > limit {
		return nil
	}
	message := TakeBuffer()
	head := message.head[:header]
	w.consumeLocked(head)
	message.Bytes = slices.Grow(message.Bytes, payload)[:payload]
	w.consumeLocked(message.Bytes)
	unmask(message.Bytes, head[header-maskLength:])
	w.partial.Store(w.reader.Buffered()+len(w.ahead) > 0)
	return message
}

// wholeMessageLocked returns the lengths of the header and the payload of the next frame, behind
// pongs, which it takes. ok is false if the frame is not a text message that has come as a whole.
// The caller holds closeMu.
func (w *wire) wholeMessageLocked() (header, payload int, ok bool) {
	if w.closing || w.reader == nil {
		return 0, 0, false
	}
	if w.full && len(w.ahead) == 0 { // more may be in the kernel
		w.full = false
		w.fillAhead()
	}
	for {
		var start [maxHeader]byte
		buffered, _ := w.reader.Peek(min(w.reader.Buffered(), maxHeader)) // that many are there
		n := copy(start[:], buffered)
		n += copy(start[n:], w.ahead)
		kind, header, payload := shortFrame(start[:n])
		if kind == otherFrame || header+payload > w.reader.Buffered()+len(w.ahead) {
			return 0, 0, false
		}
		if kind == textFrame {
			return header, payload, true
		}
		var pong [maxHeader + maxControlPayload]byte
		w.consumeLocked(pong[:header+payload])
		w.ponged.Store(true)
		w.partial.Store(w.reader.Buffered()+len(w.ahead) > 0)
	}
}

// consumeLocked reads bytes that have come.
func (w *wire) consumeLocked(p []byte) {
	if n := min(w.reader.Buffered(), len(p)); n > 0 {
		_, _ = w.reader.Read(p[:n]) // that many are there
		p = p[n:]
	}
	if len(p) > 0 {
		w.readAhead(p)
	}
}

// The kinds of frames that are read here, by their first byte.
const (
	otherFrame = 0
	textFrame  = 0x81 // a text message in one frame
	pongFrame  = 0x8a
)

// maxControlPayload is the length of the longest payload of a pong (RFC 6455, section 5.5).
const maxControlPayload = 125

// shortFrame returns the kind of the frame that p begins with, and the lengths of its header and
// payload. It is an otherFrame if it is not that of a client, if its payload has 64 KiB or more,
// or if p is too short.
func shortFrame(p []byte) (kind byte, header, payload int) {
	const masked = 0x80
	if len(p) < 2 || p[0] != textFrame && p[0] != pongFrame || p[1]&masked == 0 {
		return otherFrame, 0, 0
	}
	switch n := int(p[1] &^ masked); {
	case n <= maxControlPayload:
		return p[0], 2 + maskLength, n
	case n == 126 && len(p) >= 4 && p[0] == textFrame:
		return textFrame, 4 + maskLength, int(binary.BigEndian.Uint16(p[2:]))
	}
	return otherFrame, 0, 0
}

// unmask removes the mask from a payload (RFC 6455, section 5.3).
func unmask(payload, mask []byte) {
	var repeated [64]byte
	for n := copy(repeated[:], mask); n < len(repeated); n *= 2 {
		copy(repeated[n:], repeated[:n])
	}
	for len(payload) > 0 {
		payload = payload[subtle.XORBytes(payload, payload, repeated[:]):]
	}
}
