package journal

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"rtdb/keyspace"
)

const (
	// idleTime is the time without a write after which an idle frame is written: it says
	// that everything is durable.
	idleTime = 50 * time.Millisecond

	// briefCommit is the time up to which a writer that is alone commits its group itself.
	// Otherwise it would wait for the committer's goroutine: one writer makes 0.65 of the writes
	// a second of Redis with its own appendfsync always, instead of 1.1.
	briefCommit = 250 * time.Microsecond

	// keptBuffer is the longest buffer of a group that is used again.
	keptBuffer = 4 << 20
)

// A group is the writes that are committed together.
type group struct {
	encoder encoder // its payload is the frames, with room for their headers
	frames  []frame
	writes  int
	next    uint64 // the version after the last write
	began   time.Time

	done chan struct{} // closed when err is set
	err  error

	ctx        context.Context // of the first caller
	isReleased atomic.Bool
	released   chan struct{} // closed when done is closed or ctx ends
	releaseErr error
}

// A frame is the part of a group's payload that becomes one frame of the file.
type frame struct {
	start int
	first uint64
	count uint32
}

func newGroup(buffer []byte) *group {
	return &group{encoder: encoder{payload: buffer[:0]}, done: make(chan struct{}), released: make(chan struct{})}
}

var noHeader [frameHeaderSize]byte

// add adds a write to the group, and gives it the next version.
func (g *group) add(w *keyspace.Record, next *uint64) {
	n := len(g.frames)
	if n == 0 || len(g.encoder.payload)-g.frames[n-1].start > frameSize {
		g.frames = append(g.frames, frame{start: len(g.encoder.payload), first: *next})
		g.encoder.begin(append(g.encoder.payload, noHeader[:]...), *next)
		n++
	}
	if !w.Touch {
		w.Version = *next
		*next++
	}
	g.encoder.add(w, false)
	g.frames[n-1].count++
	g.writes++
}

// seal completes the headers of the frames. offset is the group's place in the file.
func (g *group) seal(salt uint32, offset, durable uint64) []byte {
	b := g.encoder.payload
	for i, f := range g.frames {
		end := len(b)
		if i+1 < len(g.frames) {
			end = g.frames[i+1].start
		}
		payload := b[f.start+frameHeaderSize : end]
		h := frameHeader{
			length: uint32(len(payload)), first: f.first, durable: durable, kind: frameWrites, count: f.count, payload: checksum(payload),
		}
		h.put(b[f.start:], salt, offset+uint64(f.start))
	}
	return b
}

// finish answers the writers.
func (g *group) finish(err error) {
	g.err = err
	close(g.done)
	g.release(err)
}

// release answers the writers that have the context of the first one.
func (g *group) release(err error) {
	if !g.isReleased.Swap(true) {
		g.releaseErr = err
		close(g.released)
	}
}

// wait waits for the result. As a rule all callers have the same context, the keyspace's.
// Only the first one watches it, because a wait for two channels takes 0.9 of the 6 µs of a
// write (BenchmarkSet/always).
func (g *group) wait(ctx context.Context, first bool) error {
	if first {
		stop := context.AfterFunc(ctx, func() { g.release(context.Cause(ctx)) })
		defer stop()
	}
	if ctx == g.ctx {
		<-g.released
		return g.releaseErr
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// commitGroups commits group after group until the journal is closed. It is the
// goroutine of the committer. A writer that is alone commits its group itself.
func (j *Journal) commitGroups() {
	defer close(j.committed)
	for {
		select {
		case <-j.wake:
			runtime.Gosched() // actors that are about to commit join the group
			j.commitNext()
		case reply := <-j.rotations:
			reply <- j.rotateOrFail(false)
		case <-j.stop:
			j.commitNext()
			return
		}
	}
}

// A turn is what a goroutine has that appends to the log. It is a channel, because a test under
// synctest waits for a goroutine that has a mutex.
type turn chan struct{}

func (t turn) take() { t <- struct{}{} }

func (t turn) pass() { <-t }

func (t turn) tryTake() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

// takeLocked returns the group that gathers, and lets the next one gather. The caller has the turn.
func (j *Journal) takeLocked() *group {
	g := j.gathering
	g.next = j.next
	j.gathering = newGroup(j.spare)
	j.spare = nil
	return g
}

// commitNext commits the group that gathers, if it has writes.
func (j *Journal) commitNext() {
	j.turn.take()
	defer j.turn.pass()
	j.mu.Lock()
	if j.gathering.writes == 0 || j.failure != nil {
		j.mu.Unlock()
		return
	}
	g := j.takeLocked()
	j.mu.Unlock()
	if j.commitGroup(g) == nil && j.isFull() {
		_ = j.rotateOrFailInTurn(false)
	}
}

// commitGroup commits a group, and answers its writers. The caller has the turn.
func (j *Journal) commitGroup(g *group) error {
	report := Group{Writes: g.writes}
	began := time.Now()
	if err := j.write(g, &report, began); err != nil {
		g.finish(err) // first, because fail may end the program
		j.fail(err)
		return err
	}
	j.committedAt = time.Now()
	j.brief.Store(g.writes == 1 && j.committedAt.Sub(began) < briefCommit)
	g.finish(nil)
	if !j.marking {
		j.marking = true
		j.idle.Reset(idleTime)
	}
	if o := j.options.Observer.Group; o != nil {
		o(report)
	}
	if b := g.encoder.payload; cap(b) <= keptBuffer {
		j.spare = b
	}
	return nil
}

// write appends a group to the log and, with Always, makes it durable.
func (j *Journal) write(g *group, report *Group, began time.Time) error {
	s := j.active.Load()
	b := g.seal(s.header.salt, s.offset, s.durable.Load())
	report.Bytes, report.Wait = len(b), began.Sub(g.began)
	if j.options.Fsync == Always {
		s.reserve(len(b), j.limits.step)
	}
	if err := s.append(b); err != nil {
		return fmt.Errorf("journal: write: %w", err)
	}
	s.next, s.marked = g.next, false
	j.logged.Add(uint64(len(b)))
	j.wrote(len(b))
	if j.options.Fsync != Always {
		return nil
	}
	if err := s.sync(); err != nil {
		return fmt.Errorf("journal: make durable: %w", err)
	}
	report.Sync = time.Since(began)
	return nil
}

// isFull reports whether the active segment is long enough to begin another one.
func (j *Journal) isFull() bool { return j.active.Load().offset >= j.limits.segment }

// rotateOrFail begins a segment, or makes the journal fail. last is true if the new segment
// will get no write.
func (j *Journal) rotateOrFail(last bool) error {
	j.turn.take()
	defer j.turn.pass()
	return j.rotateOrFailInTurn(last)
}

func (j *Journal) rotateOrFailInTurn(last bool) error {
	j.mu.Lock()
	err := j.failure
	j.mu.Unlock()
	if err != nil {
		return err
	}
	if err = j.rotate(last); err != nil {
		err = fmt.Errorf("journal: begin a segment: %w", err)
		j.fail(err)
	}
	return err
}

// markIdle writes an idle frame if nothing was committed for idleTime, and everything is durable.
// The frame itself need not be durable: it only helps to tell damage from a torn end.
func (j *Journal) markIdle() {
	j.turn.take()
	defer j.turn.pass()
	j.mu.Lock()
	err := j.failure
	j.mu.Unlock()
	s := j.active.Load()
	switch rest := idleTime - time.Since(j.committedAt); {
	case err != nil || s.marked || s.offset == headerSize:
	case rest > 0:
		j.idle.Reset(rest)
		return
	case s.durable.Load() == s.offset:
		s.marked = true
		if err := s.append(emptyFrame(frameIdle, s.header.salt, s.next, s.offset)); err != nil {
			j.fail(fmt.Errorf("journal: write: %w", err))
		}
	case j.options.Fsync > 0: // the sync of the interval has not come
		j.idle.Reset(idleTime)
		return
	}
	j.marking = false
}

// syncRegularly makes the active segment durable each interval.
func (j *Journal) syncRegularly() {
	ticker := time.NewTicker(j.options.Fsync)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			began := time.Now()
			s := j.active.Load()
			if s.written.Load() == s.durable.Load() {
				continue
			}
			if err := s.sync(); err != nil {
				j.fail(fmt.Errorf("journal: make durable: %w", err))
				return
			}
			if o := j.options.Observer.Synced; o != nil {
				o(time.Since(began))
			}
		case <-j.stop:
			return
		}
	}
}
