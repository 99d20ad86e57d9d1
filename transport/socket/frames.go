package socket

import (
	"encoding/binary"
	"sync"
)

// Frames are WebSocket frames that one write takes.
//
// A message's payload is encoded once and copied for each client; its header is made
// for each. Sharing the header, too, would gain nothing: it is 2 to 10 bytes that
// depend on the length alone.
type Frames struct {
	bytes []byte
	taken int // bytes that were written
}

// framesPool is shared by all connections: a connection has frames only while it
// writes.
var framesPool = sync.Pool{New: func() any { return new(Frames) }}

// maxPooled is the capacity up to which a buffer is kept for another connection. A
// longer one was made for a long message.
const maxPooled = 64 << 10

func newFrames() *Frames { return framesPool.Get().(*Frames) }

func (f *Frames) free() {
	f.bytes, f.taken = f.bytes[:0], 0
	if cap(f.bytes) <= maxPooled {
		framesPool.Put(f)
	}
}

// AddText appends a text message as one frame. A server's frame is not masked (RFC
// 6455, section 5.1).
func (f *Frames) AddText(payload []byte) { f.bytes = appendTextFrame(f.bytes, payload) }

// boundary returns the first end of a frame that is not before at. from is the end of a
// frame, or 0.
func (f *Frames) boundary(from, at int) int {
	for from < min(at, len(f.bytes)) {
		from += frameLength(f.bytes[from:])
	}
	return from
}

// frameLength returns the length of the frame, header included, that p begins with. The
// frame is not masked.
func frameLength(p []byte) int {
	switch n := int(p[1] & 0x7f); n {
	case 126:
		return 4 + int(binary.BigEndian.Uint16(p[2:]))
	case 127:
		return 10 + int(binary.BigEndian.Uint64(p[2:]))
	default:
		return 2 + n
	}
}

// appendTextFrame appends a whole, unmasked text message (RFC 6455, section 5.2).
func appendTextFrame(dst, payload []byte) []byte {
	const finText = 0x81
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, finText, byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, finText, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, finText, 127), uint64(n))
	}
	return append(dst, payload...)
}
