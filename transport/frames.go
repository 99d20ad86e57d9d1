package transport

import (
	"encoding/binary"
	"sync"

	"rtdb/session"
)

// frames are what one write is to take.
type frames struct {
	bytes []byte
	taken int // of bytes: how many have been written
}

// framesPool is for all connections: one has frames only while it writes. Those
// that a long message made longer than maxKeptBuffer are not kept.
var framesPool = sync.Pool{New: func() any { return new(frames) }}

const maxKeptBuffer = 64 << 10

func newFrames() *frames { return framesPool.Get().(*frames) }

func (f *frames) free() {
	f.bytes, f.taken = f.bytes[:0], 0
	if cap(f.bytes) <= maxKeptBuffer {
		framesPool.Put(f)
	}
}

// add appends each message as one text frame.
func (f *frames) add(messages []session.Message) {
	for i := range messages {
		f.bytes = appendTextFrame(f.bytes, messages[i].Text)
	}
}

// appendTextFrame appends a whole, unmasked text message (RFC 6455, section
// 5.2).
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
