package transport_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkFanoutEvents is BenchmarkFanoutOneKey with server-sent events in place of
// WebSockets, and compares the two.
func BenchmarkFanoutEvents(b *testing.B) {
	for _, window := range []int{1, 8, 200} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			events, webSocket := startProgramSide(b), startProgramSide(b)
			events.name, events.say = "events", eventSpeaker{}
			webSocket.name = "websocket"
			compareSides(b, shape{keys: 1, subscribers: 1000, publishers: 1, window: window}, events, webSocket)
		})
	}
}

// eventSpeaker subscribes to server-sent events, and writes over a WebSocket.
type eventSpeaker struct{ webSocketSpeaker }

func (eventSpeaker) listen(s *socket, keys int) error {
	err := s.send([]byte("GET /events?key=" + strings.Join(keyNames(0, keys), "&key=") + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	if err != nil {
		return err
	}
	if _, err := s.receiveHeader(http.StatusOK); err != nil {
		return err
	}
	// The last thing before the first update is the id to resume from, at the end of a chunk.
	for !bytes.Contains(s.early, []byte("\nid: ")) || !bytes.HasSuffix(s.early, []byte("\n\n\r\n")) {
		if err := s.more(); err != nil {
			return err
		}
	}
	s.early = nil
	return nil
}

// once implements varyingSpeaker. An event has an id, and is a part of a chunk, whose length
// is text, too.
func (eventSpeaker) once() byte { return '}' }
