package transport_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// A logBuffer keeps the lines of a log.
type logBuffer struct {
	grown chan struct{} // gets a token when data grows

	mu   sync.Mutex
	data bytes.Buffer
}

func newLogBuffer() *logBuffer { return &logBuffer{grown: make(chan struct{}, 1)} }

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.grown <- struct{}{}:
	default:
	}
	return b.data.Write(p)
}

func (b *logBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// lines returns the events with a message. It parses every line of the log.
func (b *logBuffer) lines(t testing.TB, message string) (events []map[string]any) {
	t.Helper()
	for line := range strings.Lines(b.text()) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("a broken line in the log: %q", line)
			continue
		}
		if e["message"] == message {
			events = append(events, e)
		}
	}
	return events
}

// await waits for n events with a message.
func (b *logBuffer) await(t testing.TB, message string, n int) []map[string]any {
	t.Helper()
	for timeout := time.After(patience); ; {
		if events := b.lines(t, message); len(events) >= n {
			return events
		}
		select {
		case <-b.grown:
		case <-timeout:
			t.Fatalf("no %d events %q in the log:\n%s", n, message, b.text())
		}
	}
}
