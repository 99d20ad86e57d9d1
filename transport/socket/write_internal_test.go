package socket

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A flushCounter is a Session that counts the calls of Flush.
type flushCounter int

func (*flushCounter) Uncork()                     {}
func (*flushCounter) StopSnapshot()               {}
func (*flushCounter) Drain(context.Context) error { return nil }
func (*flushCounter) Ending() bool                { return false }
func (f *flushCounter) Flush()                    { *f++ }

// Pings and pongs wait for the session's next write. Of several pongs the newest is sent
// (RFC 6455, section 5.5.3).
func TestControlFramesWaitForTheNextWrite(t *testing.T) {
	var flushes flushCounter
	c := Conn{wire: wire{output: output{session: &flushes}}}
	for i, frame := range []string{"\x8a\x01a", "\x8a\x01b"} {
		if i == 1 && !c.ping() {
			t.Error("no ping is sent")
		}
		if n, err := c.wire.Write([]byte(frame)); n != len(frame) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if flushes != 1 {
		t.Errorf("Flush was called %d times, want once for all frames that wait", flushes)
	}
	f := c.TakeFrames()
	f.AddText([]byte("x"))
	if want := "\x8a\x01b\x89\x00\x81\x01x"; string(f.bytes) != want {
		t.Errorf("the next write is %q, want %q", f.bytes, want)
	}
	f.free()
	if f := c.TakeFrames(); len(f.bytes) != 0 {
		t.Errorf("the write after that is %q, want nothing", f.bytes)
	}
}

// frames returns n frames of text with 3 to 1200 bytes.
func frames(n int) *Frames {
	f := newFrames()
	for i := range n {
		f.AddText(bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*7%1200))
	}
	return f
}

// readFrames reads n frames and returns the position of the pong among them, or -1.
func readFrames(t *testing.T, r io.Reader, n int) (pong int) {
	t.Helper()
	pong = -1
	for i := range n {
		head := make([]byte, 2)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatal(err)
		}
		length := int(head[1])
		if length == 126 {
			if _, err := io.ReadFull(r, head); err != nil {
				t.Fatal(err)
			}
			length = int(binary.BigEndian.Uint16(head))
			head[0] = 0x81
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatal(err)
		}
		switch {
		case head[0] == 0x8a:
			pong = i
		case len(bytes.Trim(payload, string(payload[:1]))) > 0:
			t.Fatalf("frame %d is mixed up: %.40q", i, payload)
		}
	}
	return pong
}

// A pong goes out between two frames of a write that blocks.
func TestAPongGoesOutInTheMiddleOfAWrite(t *testing.T) {
	const n = 200 // 100 KB
	for name, c := range map[string]struct {
		before, during bool // when the pong is queued
		torn           int  // bytes that TryWrite has taken
		earliest, last int  // which frame may be the pong
	}{
		"before":               {true, false, 0, 0, 0},
		"before, a torn frame": {true, false, 5, 2, 2}, // the first frames have 3 and 10 bytes
		"during":               {false, true, 0, 1, 70},
		"during, a torn frame": {false, true, 5, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				var flushes flushCounter
				w := Conn{wire: wire{output: output{session: &flushes, Conn: theirs}}}
				pong := func() {
					if _, err := w.wire.Write([]byte("\x8a\x01x")); err != nil {
						t.Error(err)
					}
				}
				kept := frames(n)
				kept.taken = c.torn
				w.wire.kept, w.wire.hasKept, w.wire.torn = kept, true, c.torn > 0
				if c.before {
					pong()
				}
				done := make(chan error, 1)
				go func() { done <- w.Write(w.TakeFrames()) }()
				synctest.Wait()
				if c.during {
					pong()
				}
				// The client has what TryWrite has written.
				at := readFrames(t, io.MultiReader(bytes.NewReader(frames(n).bytes[:c.torn]), ours), n+1)
				if at < c.earliest || at > c.last {
					t.Errorf("the pong is frame %d, want %d to %d", at, c.earliest, c.last)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				_ = ours.Close()
			})
		})
	}
}

// Under TLS a client gets StallTimeout for each piece, and a write under TLS must not time
// out before that.
func TestASlowWriteUnderTLSGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var flushes flushCounter
		w := Conn{wire: wire{output: output{session: &flushes, Conn: theirs, secure: true}}}
		done := make(chan error, 1)
		f := frames(200)
		length := len(f.bytes)
		go func() { done <- w.Write(f) }()
		read := 0
		for buffer := make([]byte, writePiece); read < length; {
			time.Sleep(StallTimeout - time.Second)
			for taken := 0; taken < writePiece && read < length; {
				n, err := ours.Read(buffer[:min(writePiece-taken, length-read)])
				if err != nil {
					t.Fatalf("after %d bytes of %d: %v", read, length, err)
				}
				taken, read = taken+n, read+n
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		go func() { done <- w.Write(frames(200)) }()
		start := time.Now()
		if err := <-done; !errors.Is(err, ErrStalled) || time.Since(start) != StallTimeout {
			t.Errorf("%v after %v, want ErrStalled after %v", err, time.Since(start), StallTimeout)
		}
	})
}
