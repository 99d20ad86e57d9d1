package socket

import (
	"errors"
	"io"
	"sync"
)

var (
	// ErrTooBig means that a message or body is longer than its limit.
	ErrTooBig = errors.New("socket: message too big")

	// ErrNoMemory means that memory is too short for a long message or body.
	ErrNoMemory = errors.New("socket: no memory for a long message")
)

// A Buffer holds one message or body while it is handled. Between messages a client
// has none.
type Buffer struct {
	Bytes []byte
	head  [maxHeader]byte // see Conn.takeMessage
}

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// TakeBuffer returns an empty buffer. The caller gives it back with Free.
func TakeBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Free gives the buffer back; its bytes must not be used any more.
func (b *Buffer) Free() {
	b.Bytes = b.Bytes[:0]
	if cap(b.Bytes) <= maxPooled {
		buffers.Put(b)
	}
}

// ReadAll reads r to its end. It returns ErrTooBig if r has more than limit bytes, and
// ErrNoMemory if r has more than 64 KiB while crowded reports that memory is short. crowded
// may be nil.
//
// It asks for no more than one byte past the limit: the WebSocket library waits for
// everything that it is asked for.
func (b *Buffer) ReadAll(r io.Reader, limit int, crowded func() bool) error {
	for {
		if len(b.Bytes) == cap(b.Bytes) {
			if len(b.Bytes) >= maxPooled && crowded != nil && crowded() {
				return ErrNoMemory
			}
			b.grow(limit)
		}
		n, err := r.Read(b.Bytes[len(b.Bytes):min(cap(b.Bytes), limit+1)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		switch {
		case len(b.Bytes) > limit:
			return ErrTooBig
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// grow doubles the buffer, which is full. It stops at the length from which on memory is
// asked for, and at one byte past the limit.
func (b *Buffer) grow(limit int) {
	length := len(b.Bytes)
	next := max(512, 2*length)
	if length < maxPooled {
		next = min(next, maxPooled)
	}
	grown := make([]byte, min(next, limit+1))
	copy(grown, b.Bytes)
	b.Bytes = grown[:length]
}
