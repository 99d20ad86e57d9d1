package socket

import "encoding/binary"

// maxHeader is the length of the longest header of a frame (RFC 6455, section 5.2).
const maxHeader = 14

// More reports whether another text message has come as a whole. If so, Serve calls
// Handler.Handle or Handler.End soon, without waiting for the client. Only Handler.Handle may
// call it. It reports false if another goroutine reads.
func (c *Conn) More() bool {
	w := &c.wire
	w.closeMu.Lock() // see drained and busyReader.look
	defer w.closeMu.Unlock()
	if w.calls.Load()&readsAhead != 0 || w.closing || w.reader == nil {
		return false
	}
	if w.full && len(w.ahead) == 0 { // more may be in the kernel
		w.full = false
		w.fillAhead()
	}
	var header [maxHeader]byte
	buffered, _ := w.reader.Peek(min(w.reader.Buffered(), maxHeader)) // that many are there
	n := copy(header[:], buffered)
	n += copy(header[n:], w.ahead)
	length, ok := textFrameLength(header[:n])
	return ok && length <= w.reader.Buffered()+len(w.ahead)
}

// textFrameLength returns the length of the frame that p begins with, header included. ok is
// false if it is not a whole text message of a client, if it has 64 KiB or more, or if p is
// too short.
func textFrameLength(p []byte) (n int, ok bool) {
	const finText, masked, maskLength = 0x81, 0x80, 4
	if len(p) < 2 || p[0] != finText || p[1]&masked == 0 {
		return 0, false
	}
	switch n := int(p[1] &^ masked); {
	case n < 126:
		return 2 + maskLength + n, true
	case n == 126 && len(p) >= 4:
		return 4 + maskLength + int(binary.BigEndian.Uint16(p[2:])), true
	}
	return 0, false
}
