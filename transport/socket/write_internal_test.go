package socket

import (
	"context"
	"testing"
)

// A flushCounter is a Session that counts the calls of Flush.
type flushCounter int

func (*flushCounter) Uncork()                     {}
func (*flushCounter) Drain(context.Context) error { return nil }
func (*flushCounter) Ending() bool                { return false }
func (f *flushCounter) Flush()                    { *f++ }

// Pings and pongs wait for the session's next write. Of several pongs the newest is sent
// (RFC 6455, section 5.5.3).
func TestControlFramesWaitForTheNextWrite(t *testing.T) {
	var flushes flushCounter
	c := Conn{wire: wire{session: &flushes}}
	for _, frame := range []string{"\x8a\x01a", "\x89\x01p", "\x8a\x01b"} {
		if n, err := c.wire.Write([]byte(frame)); n != len(frame) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if flushes != 1 {
		t.Errorf("Flush was called %d times, want once for all frames that wait", flushes)
	}
	f := c.TakeFrames()
	f.AddText([]byte("x"))
	if want := "\x8a\x01b\x89\x01p\x81\x01x"; string(f.bytes) != want {
		t.Errorf("the next write is %q, want %q", f.bytes, want)
	}
	f.free()
	if f := c.TakeFrames(); len(f.bytes) != 0 {
		t.Errorf("the write after that is %q, want nothing", f.bytes)
	}
}
