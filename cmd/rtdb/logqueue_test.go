package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeSink takes lines as its test says.
type fakeSink struct {
	mu    sync.Mutex
	text  strings.Builder
	limit int           // bytes that the next writes take in all, then they fail; -1: no limit
	block chan struct{} // if not nil, each write waits for it to be closed
	sizes []int         // of the writes
}

func (s *fakeSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	block := s.block
	s.mu.Unlock()
	if block != nil {
		<-block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, len(p))
	n := len(p)
	if s.limit >= 0 {
		n = min(n, s.limit)
		s.limit -= n
	}
	s.text.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

// set changes how many bytes the sink takes from now on.
func (s *fakeSink) set(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

func lostNotice(lines uint64) []byte { return fmt.Appendf(nil, "lost %d\n", lines) }

func wantText(t *testing.T, s *fakeSink, want string) {
	t.Helper()
	if got := s.text.String(); got != want {
		t.Errorf("the sink has %q, want %q", got, want)
	}
}

func TestLogQueueWritesAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{limit: -1}
		q := newLogQueue(sink, lostNotice)
		var want strings.Builder
		for i := range 10_000 {
			line := fmt.Sprintf("line %d\n", i)
			want.WriteString(line)
			if n, err := io.WriteString(q, line); n != len(line) || err != nil {
				t.Fatal(n, err)
			}
		}
		long := strings.Repeat("x", 3*maxLogWrite) + "\n"
		want.WriteString(long)
		_, _ = io.WriteString(q, long)
		q.close(time.Hour)
		wantText(t, sink, want.String())
		if q.dropped() != 0 {
			t.Errorf("%d lines dropped", q.dropped())
		}
		for _, size := range sink.sizes {
			if size > maxLogWrite && size != len(long) {
				t.Errorf("a write of %d bytes", size)
			}
		}
	})
}

func TestLogQueueAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{limit: 10}
		q := newLogQueue(sink, lostNotice)
		write := func(lines string) {
			_, _ = io.WriteString(q, lines)
			synctest.Wait()
		}
		write("first\n")
		write("second\nthird\n") // taken in part
		write("fourth\n")
		if q.dropped() != 3 {
			t.Errorf("%d lines dropped, want 3", q.dropped())
		}
		sink.set(4) // not even the notice
		write("fifth\n")
		sink.set(-1)
		write("sixth\n")
		write("seventh\n")
		q.close(time.Hour)
		wantText(t, sink, "first\nseco\nlos\nlost 4\nsixth\nseventh\n")
		if q.dropped() != 4 {
			t.Errorf("%d lines dropped, want 4", q.dropped())
		}
	})
}

// If nothing follows, the notice comes when the queue is closed.
func TestLogQueueSaysWhatWasLostAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{limit: 0}
		q := newLogQueue(sink, lostNotice)
		_, _ = io.WriteString(q, "a line\n")
		synctest.Wait()
		sink.set(-1)
		q.close(time.Hour)
		wantText(t, sink, "lost 1\n")
	})
}

// A sink that takes nothing costs no more than maxQueuedLog bytes, and nobody waits for
// it. Lines that find no room are lost at one place, which the notice marks.
func TestLogQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{limit: -1, block: make(chan struct{})}
		q := newLogQueue(sink, lostNotice)
		line := strings.Repeat("x", 1023) + "\n"
		const room, more = maxQueuedLog / 1024, 100
		began := time.Now()
		for i := range room + more {
			_, _ = io.WriteString(q, line)
			if i == 0 {
				synctest.Wait() // the first write blocks
			}
		}
		_, _ = io.WriteString(q, "short\n") // it would fit, but must not stand before the gap
		if q.dropped() != more+1 {
			t.Errorf("%d lines dropped, want %d, while the sink is blocked", q.dropped(), more+1)
		}
		q.mu.Lock()
		if q.size > maxQueuedLog {
			t.Errorf("%d bytes wait, want at most %d", q.size, maxQueuedLog)
		}
		q.mu.Unlock()
		if took := time.Since(began); took != 0 {
			t.Errorf("the writes took %v", took)
		}
		close(sink.block)
		synctest.Wait()
		_, _ = io.WriteString(q, "after\n")
		q.close(time.Hour)
		text := sink.text.String()
		if got := strings.Count(text, line); got != room {
			t.Errorf("%d lines came, want %d", got, room)
		}
		if want := fmt.Sprintf("lost %d\nafter\n", more+1); !strings.HasSuffix(text, "x\n"+want) {
			t.Errorf("the text ends with %q, want %q", text[len(text)-50:], want)
		}
	})
}

func TestLogQueueDoesNotWaitLongForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{limit: -1, block: make(chan struct{})}
		q := newLogQueue(sink, lostNotice)
		_, _ = io.WriteString(q, "a line\n")
		began := time.Now()
		q.close(logGrace)
		if took := time.Since(began); took != logGrace {
			t.Errorf("close took %v, want %v", took, logGrace)
		}
		_, _ = io.WriteString(q, "too late\n")
		if q.dropped() != 1 {
			t.Errorf("%d lines dropped, want 1", q.dropped())
		}
		close(sink.block)
		<-q.ended
	})
}

// Lines of many goroutines are whole, and each is written once or counted.
func TestLogQueueFromManyGoroutines(t *testing.T) {
	sink := &fakeSink{limit: -1}
	q := newLogQueue(sink, lostNotice)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 2000 {
				_, _ = fmt.Fprintf(q, "writer %d line %d end\n", w, i)
			}
		})
	}
	writers.Wait()
	q.close(patience)
	next := make(map[string]int)
	for line := range strings.Lines(sink.text.String()) {
		fields := strings.Fields(line)
		if len(fields) != 5 || fields[4] != "end" || fields[3] != fmt.Sprint(next[fields[1]]) {
			t.Fatalf("a line %q is not whole, or not in order", line)
		}
		next[fields[1]]++
	}
	for w := range 8 {
		if next[fmt.Sprint(w)] != 2000 {
			t.Errorf("%d lines of writer %d, want 2000", next[fmt.Sprint(w)], w)
		}
	}
}
