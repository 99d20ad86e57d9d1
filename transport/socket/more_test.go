package socket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	foreign "github.com/gorilla/websocket"

	"rtdb/transport/socket"
)

// A frameScript is what a client sends, and the messages of it.
type frameScript struct {
	*rand.Rand
	bytes    []byte
	messages []string
}

// add appends a frame with a random mask (RFC 6455, section 5.2).
func (s *frameScript) add(first byte, payload []byte) {
	const masked = 0x80
	frame := []byte{first}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, masked|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, masked|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, masked|127), uint64(n))
	}
	mask := binary.BigEndian.AppendUint32(nil, s.Uint32())
	frame = append(frame, mask...)
	for i, c := range payload {
		frame = append(frame, c^mask[i%4])
	}
	s.bytes = append(s.bytes, frame...)
}

// addMessage appends a message, which may be split into frames, with pings in between.
func (s *frameScript) addMessage(length int) {
	const fin, text, ping = 0x80, 1, 9
	message := fmt.Appendf(nil, "%d ", len(s.messages))
	for len(message) < length {
		message = append(message, byte('a'+s.IntN(26)))
	}
	s.messages = append(s.messages, string(message))
	kind := byte(text)
	for s.IntN(8) == 0 {
		n := s.IntN(len(message) + 1)
		s.add(kind, message[:n])
		message, kind = message[n:], 0
		if s.IntN(2) == 0 {
			s.add(fin|ping, []byte("?"))
		}
	}
	s.add(fin|kind, message)
}

// All messages are handled, whole and in order, wherever the pieces that the server reads end.
func TestMessagesOfAllLengths(t *testing.T) {
	for seed := range uint64(30) {
		s := &frameScript{Rand: rand.New(rand.NewPCG(seed, 0))}
		for len(s.bytes) < 300<<10 {
			switch s.IntN(40) {
			case 0:
				s.addMessage(1<<16 - 8 + s.IntN(16))
			case 1:
				s.addMessage(s.IntN(20 << 10))
			case 2, 3, 4:
				s.addMessage(120 + s.IntN(12))
			case 5:
				s.addMessage(240 + s.IntN(24))
			default:
				s.addMessage(s.IntN(100))
			}
		}
		s.add(0x88, binary.BigEndian.AppendUint16(nil, 1000))
		h, url, accepted := startBusy(t)
		c, _, err := foreign.DefaultDialer.Dial(strings.Replace(url, "http", "ws", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		<-accepted
		for _, piece := range bytes.SplitAfter(s.bytes, []byte{byte(seed)}) {
			if _, err := c.NetConn().Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		<-h.endedCh
		h.want(t, s.messages...)
		_ = c.Close()
		if t.Failed() {
			t.Fatalf("with the seed %d", seed)
		}
	}
}

// A message that is too long ends the connection, also if it has come as a whole, behind others.
func TestAMessageThatIsTooLongHasComeAsAWhole(t *testing.T) {
	h, c := serveBusy(t)
	h.limit.Store(50)
	s := &frameScript{Rand: rand.New(rand.NewPCG(0, 0))}
	for _, length := range []int{10, 50, 51, 10} {
		s.addMessage(length)
	}
	if _, err := c.NetConn().Write(s.bytes); err != nil {
		t.Fatal(err)
	}
	if cause := <-h.endedCh; !errors.Is(cause, socket.ErrTooBig) {
		t.Errorf("it ends with %v", cause)
	}
	h.want(t, s.messages[:2]...)
}
