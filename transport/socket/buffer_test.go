package socket_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"rtdb/transport/socket"
)

func TestReadAllReadsUpToTheLimit(t *testing.T) {
	for _, length := range []int{0, 1, 511, 512, 513, 4096, 100_000} {
		text := strings.Repeat("x", length)
		for name, r := range map[string]io.Reader{
			"whole":             strings.NewReader(text),
			"byte by byte":      iotest.OneByteReader(strings.NewReader(text)),
			"EOF with the data": iotest.DataErrReader(strings.NewReader(text)),
		} {
			b := socket.TakeBuffer()
			if err := b.ReadAll(r, length, nil); err != nil || string(b.Bytes) != text {
				t.Errorf("%d bytes, %s: read %d bytes, %v", length, name, len(b.Bytes), err)
			}
			b.Free()
		}
		if length == 0 {
			continue
		}
		b := socket.TakeBuffer()
		if err := b.ReadAll(strings.NewReader(text), length-1, nil); !errors.Is(err, socket.ErrTooBig) {
			t.Errorf("%d bytes with the limit %d: %v, want ErrTooBig", length, length-1, err)
		}
		b.Free()
	}
}

// A countingReader has no end. It counts the bytes that it is asked for.
type countingReader struct{ asked int }

func (r *countingReader) Read(p []byte) (int, error) {
	r.asked += len(p)
	return len(p), nil
}

// The WebSocket library waits for all bytes that it is asked for, so ReadAll must not ask
// for more than one byte past the limit.
func TestReadAllAsksForOneByteMoreThanTheLimit(t *testing.T) {
	for _, limit := range []int{0, 100, 511, 512, 100_000} {
		var r countingReader
		b := socket.TakeBuffer()
		if err := b.ReadAll(&r, limit, nil); !errors.Is(err, socket.ErrTooBig) || r.asked != limit+1 {
			t.Errorf("limit %d: asked for %d bytes, %v; want %d and ErrTooBig", limit, r.asked, err, limit+1)
		}
		b.Free()
	}
}

// If memory is short, short messages are still read. It makes no difference how long the buffer
// is that the message before has left.
func TestReadAllRefusesLongMessagesIfMemoryIsShort(t *testing.T) {
	const short, long = 60 << 10, 1 << 20
	crowded := func() bool { return true }
	for _, left := range []int{0, 1, 512, 40_000, 56 << 10, short} {
		for length, want := range map[int]error{short: nil, long: socket.ErrNoMemory} {
			b := socket.Buffer{Bytes: make([]byte, 0, left)}
			if err := b.ReadAll(bytes.NewReader(make([]byte, length)), long, crowded); !errors.Is(err, want) {
				t.Errorf("%d bytes into a buffer of %d: %v, want %v", length, left, err, want)
			}
			if want != nil && len(b.Bytes) != 64<<10 {
				t.Errorf("%d of %d bytes were read into a buffer of %d", len(b.Bytes), length, left)
			}
		}
	}
	b := socket.TakeBuffer()
	defer b.Free()
	if err := b.ReadAll(bytes.NewReader(make([]byte, long)), long, func() bool { return false }); err != nil {
		t.Errorf("memory is not short: %v", err)
	}
}

func TestReadAllReturnsTheErrorOfTheReader(t *testing.T) {
	broken := errors.New("broken")
	b := socket.TakeBuffer()
	defer b.Free()
	r := io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(broken))
	if err := b.ReadAll(r, 100, nil); !errors.Is(err, broken) || string(b.Bytes) != "begun" {
		t.Errorf("read %q, %v", b.Bytes, err)
	}
}

// A buffer that is taken is empty, whatever the last user read into it.
func TestTakeBufferReturnsAnEmptyBuffer(t *testing.T) {
	for range 100 {
		b := socket.TakeBuffer()
		if len(b.Bytes) != 0 {
			t.Fatalf("the buffer has %d bytes", len(b.Bytes))
		}
		if err := b.ReadAll(strings.NewReader("x"), 10, nil); err != nil {
			t.Fatal(err)
		}
		b.Free()
	}
}
