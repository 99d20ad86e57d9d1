package journal

import (
	"hash/crc32"
	"sync"
	"sync/atomic"
)

// A segment is the newest file of the log. Its fields belong to the goroutine that has the turn
// to append, unless their comments say otherwise.
type segment struct {
	file    file
	header  header
	offset  uint64        // its length
	whole   uint32        // its checksum
	next    uint64        // the version of the next write
	extent  uint64        // the file has at least this length; the bytes behind offset are zeros
	marked  bool          // nothing was written since a frame said that everything is durable
	written atomic.Uint64 // offset; any goroutine may read it
	durable atomic.Uint64 // the length that is durable; any goroutine may read it

	syncing atomic.Bool // the file is being made durable

	mu     sync.Mutex // held while the file is made durable
	closed bool
	failed error // of a Sync: the bytes written before it may be lost, even if a later Sync succeeds
}

func newSegment(f file, h header, whole summary, next uint64) *segment {
	s := &segment{file: f, header: h, offset: whole.length, whole: whole.checksum, next: next}
	s.written.Store(whole.length)
	s.durable.Store(whole.length)
	return s
}

// reserve makes room for bytes that are about to be appended and made durable. step is the
// number of bytes by which the file is made longer. With a step above 256 KiB, a commit
// would wait for the zeros. Without a step, each commit waits until the file system has
// noted the file's new length: one writer makes 3,700–4,100 commits a second instead of
// 5,400 (BenchmarkCommits of package walbench).
func (s *segment) reserve(bytes int, step uint64) {
	if end := s.offset + uint64(bytes); end > s.extent {
		s.extent = end + step
		s.file.extend(int64(s.extent))
	}
}

// trim cuts off the zeros at the end of the file.
func (s *segment) trim() error {
	if s.extent <= s.offset {
		return nil
	}
	s.extent = 0
	if err := s.file.Truncate(int64(s.offset)); err != nil {
		return err
	}
	return s.file.Sync()
}

// append writes to the end of the file.
func (s *segment) append(b []byte) error {
	if _, err := s.file.Write(b); err != nil {
		return err
	}
	s.offset += uint64(len(b))
	s.whole = crc32.Update(s.whole, castagnoli, b)
	s.written.Store(s.offset)
	return nil
}

// sync makes all bytes durable that were written before the call. Any goroutine may call
// it. A segment that is closed is durable, or its sync has failed before.
func (s *segment) sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.written.Load()
	if s.failed != nil || s.closed || end == s.durable.Load() {
		return s.failed
	}
	s.syncing.Store(true)
	defer s.syncing.Store(false)
	if s.failed = s.file.Sync(); s.failed == nil {
		s.durable.Store(end)
	}
	return s.failed
}

// seal makes the segment complete: it gets no further frame, and its successor exists.
func (s *segment) seal() error {
	if err := s.append(emptyFrame(frameSeal, s.header.salt, s.next, s.offset)); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	return s.close()
}

func (s *segment) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.file.Close()
}

// sealed returns the summary of the segment with a seal.
func (s *segment) sealed() summary {
	t := tail{header: s.header, whole: summary{s.offset, s.whole}, next: s.next}
	return t.withSeal()
}

// begin makes a segment with a header, and makes it the active one. The segment before is
// sealed only when its successor is durable. So if a segment has a seal and no successor,
// the successor was lost.
func (j *Journal) begin(h header) error {
	name := segmentName(h.number)
	text := h.encode()
	if err := writeFile(j.directory, name, text); err != nil {
		return err
	}
	if before := j.active.Load(); before != nil {
		if err := before.seal(); err != nil {
			return err
		}
	}
	f, err := j.directory.reopen(name, headerSize)
	if err != nil {
		return err
	}
	j.active.Store(newSegment(f, h, summary{headerSize, checksum(text)}, h.last+1))
	return nil
}

// rotate begins a segment after the active one. The caller has the turn. last is true if the new
// segment will get no write.
func (j *Journal) rotate(last bool) error {
	s := j.active.Load()
	if err := s.sync(); err != nil {
		return err
	}
	if err := s.trim(); err != nil {
		return err
	}
	h := s.header
	h.always = h.always || last
	h.salt, h.number, h.last, h.before = newSalt(), h.number+1, s.next-1, s.sealed()
	return j.begin(h)
}
