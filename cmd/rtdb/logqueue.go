package main

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxQueuedLog is how many bytes of lines may wait for the log's sink. When 10,000
	// WebSockets are opened at once, the server logs 3.2 MB, and when they are closed,
	// 3.0 MB. Both fit, even if the sink takes nothing meanwhile. The memory is in use
	// only while lines wait.
	maxQueuedLog = 8 << 20

	// keptQueue is the capacity of a buffer that the queue keeps for the next lines.
	keptQueue = 64 << 10

	// maxLogWrite is the most that one write to the sink has, unless one line is longer.
	// It is PIPE_BUF on Linux. A pipe takes that many bytes as a whole, so the lines of
	// several programs that share the pipe do not mix.
	maxLogWrite = 4096

	// logGrace is the longest time that the end of the program waits for the log.
	logGrace = time.Second
)

// A logQueue writes the lines of the log to a sink, on a goroutine of its own, so that
// nobody waits for a sink that is slow, full or never read. It counts the lines that the
// sink does not take. When the sink takes lines again, the first one says how many were
// lost. Its methods may be called from any goroutine.
//
// zerolog's diode has the same purpose. Under load it prints to standard error itself,
// which may block; it can hold back a line until thousands of others follow; and it
// counts more lines than were lost.
type logQueue struct {
	sink   io.Writer
	notice func(lines uint64) []byte // returns the line about lost lines; nil: there is none

	wake  chan struct{} // has a token if the goroutine must look again
	ended chan struct{} // closed when the goroutine has ended
	total atomic.Uint64 // lines lost, in all

	mu      sync.Mutex
	waiting []byte // whole lines
	size    int    // bytes of waiting, and of the lines that are being written
	missed  uint64 // lines that found no room after those in waiting
	closed  bool

	// Only the goroutine uses these.
	lost uint64 // lines lost since the last notice, without those in missed
	torn bool   // the last write ended within a line
}

// newLogQueue starts a queue, which the caller must close.
func newLogQueue(sink io.Writer, notice func(lines uint64) []byte) *logQueue {
	q := &logQueue{sink: sink, notice: notice, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.run() // close waits for it, with a limit of time, which a WaitGroup does not have
	return q
}

// Write queues one or more whole lines. It returns at once, and never an error: the
// caller of a logger could do nothing about it.
func (q *logQueue) Write(lines []byte) (int, error) {
	q.mu.Lock()
	if q.closed || q.missed > 0 || q.size+len(lines) > maxQueuedLog {
		n := countLines(lines) // all that follow are lost too, so that there is one gap
		q.missed += n
		q.total.Add(n)
	} else {
		q.waiting = append(q.waiting, lines...)
		q.size += len(lines)
	}
	q.mu.Unlock()
	q.look()
	return len(lines), nil
}

// dropped returns the number of lines that were lost.
func (q *logQueue) dropped() uint64 { return q.total.Load() }

// close ends the queue once the lines that wait are written, or after the grace.
// Lines that come later are lost.
func (q *logQueue) close(grace time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.look()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-q.ended:
	case <-timer.C:
	}
}

func (q *logQueue) look() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes lines until the queue is closed and empty.
func (q *logQueue) run() {
	defer close(q.ended)
	for {
		lines, missed, closed := q.take()
		q.write(lines)
		if q.lost += missed; missed > 0 {
			q.report()
		}
		q.release(lines)
		switch {
		case len(lines) > 0 || missed > 0:
		case closed:
			q.report()
			return
		default:
			<-q.wake
		}
	}
}

// take returns the lines that wait, and how many were lost after them.
func (q *logQueue) take() (lines []byte, missed uint64, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, missed = q.waiting, q.missed
	q.waiting, q.missed = nil, 0
	return lines, missed, q.closed
}

// release gives the memory of lines back.
func (q *logQueue) release(lines []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size = len(q.waiting)
	if q.waiting == nil && cap(lines) <= keptQueue {
		q.waiting = lines[:0]
	}
}

// write writes whole lines. If the sink takes one write in part or not at all, the rest
// of the lines is lost.
func (q *logQueue) write(lines []byte) {
	if len(lines) > 0 && !q.report() {
		q.lose(countLines(lines))
		return
	}
	for len(lines) > 0 {
		n := firstWrite(lines)
		taken := q.put(lines[:n])
		if taken < n {
			q.lose(countLines(lines[taken:]))
			return
		}
		lines = lines[n:]
	}
}

// report writes the line about lost lines. It returns false if the sink does not take it.
func (q *logQueue) report() bool {
	if q.lost == 0 || q.notice == nil {
		return true
	}
	line := q.notice(q.lost)
	if q.put(line) < len(line) {
		return false
	}
	q.lost = 0
	return true
}

// put writes lines, and before them the end of a line that was written in part. It
// returns how many bytes of the lines the sink has taken.
func (q *logQueue) put(lines []byte) (taken int) {
	whole := lines
	if q.torn {
		whole = append([]byte{'\n'}, lines...)
	}
	n, err := q.sink.Write(whole)
	if n = min(max(n, 0), len(whole)); err == nil {
		n = len(whole)
	}
	if n > 0 {
		q.torn = n < len(whole) && whole[n-1] != '\n'
	}
	return max(n-(len(whole)-len(lines)), 0)
}

func (q *logQueue) lose(lines uint64) {
	q.lost += lines
	q.total.Add(lines)
}

func countLines(lines []byte) uint64 { return uint64(bytes.Count(lines, []byte{'\n'})) }

// firstWrite returns how many bytes of lines go to the sink in one write: as many whole
// lines as maxLogWrite allows, and at least one.
func firstWrite(lines []byte) int {
	if len(lines) <= maxLogWrite {
		return len(lines)
	}
	if end := bytes.LastIndexByte(lines[:maxLogWrite], '\n'); end >= 0 {
		return end + 1
	}
	if end := bytes.IndexByte(lines, '\n'); end >= 0 {
		return end + 1
	}
	return len(lines)
}
