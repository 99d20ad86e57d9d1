package socket

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestAppendTextFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 0xffff, 0x10000, 1 << 20} {
		payload := bytes.Repeat([]byte("x"), n)
		got := appendTextFrame([]byte("before"), payload)
		want := []byte("before\x81")
		switch { // RFC 6455, section 5.2
		case n <= 125:
			want = append(want, byte(n))
		case n <= 0xffff:
			want = append(want, 126, byte(n>>8), byte(n))
		default:
			want = append(append(want, 127), binary.BigEndian.AppendUint64(nil, uint64(n))...)
		}
		if want = append(want, payload...); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: the frame begins with % x, want % x", n, got[:min(len(got), 20)], want[:min(len(want), 20)])
		}
	}
}

func TestFramesHoldMessagesInOrder(t *testing.T) {
	f := newFrames()
	for _, text := range []string{"a", "", "bc"} {
		f.AddText([]byte(text))
	}
	if want := "\x81\x01a\x81\x00\x81\x02bc"; string(f.bytes) != want {
		t.Errorf("the frames are %q, want %q", f.bytes, want)
	}
	f.taken = 3
	f.free()
	if len(f.bytes) != 0 || f.taken != 0 {
		t.Errorf("after free: %d bytes, %d taken, want none", len(f.bytes), f.taken)
	}
}
