package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rtdb/keyspace"
)

const (
	// snapshotSync is the number of bytes after which a snapshot is made durable. Without
	// it, a commit of the log would have to wait until the file system has written the
	// whole snapshot.
	snapshotSync = 1 << 20

	// firstSnapshot is the time from the start until a snapshot may be due. A server that
	// is killed again and again gets there, too: otherwise each start would have one more
	// segment to read.
	firstSnapshot = 50 * time.Millisecond

	// snapshotRetry is the time until a snapshot that failed is tried again.
	snapshotRetry = time.Minute

	// lowRetry is the time between two snapshots while values are refused.
	lowRetry = 10 * time.Second

	// snapshotFloor is the free space that a snapshot leaves to the log.
	snapshotFloor = 16 << 20

	// maxSegments is the number of segments at which a snapshot is due, however small they
	// are: each start makes one.
	maxSegments = 64
)

// kept lists the files that the store needs, and those that it may remove.
type kept struct {
	mu       sync.Mutex
	snapshot uint64   // the number of the newest snapshot; 0: none
	bytes    int64    // of the newest snapshot
	useless  []string // to be removed, unless a backup needs them

	pinned map[string]int // the number of backups that need a file, by its name
}

// pinLocked keeps files until unpin is called. The caller holds the lock.
func (k *kept) pinLocked(names []string) (unpin func()) {
	if k.pinned == nil {
		k.pinned = map[string]int{}
	}
	for _, name := range names {
		k.pinned[name]++
	}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, name := range names {
			if k.pinned[name]--; k.pinned[name] == 0 {
				delete(k.pinned, name)
			}
		}
	}
}

var errClosing = errors.New("journal: closing")

// snapshotRegularly writes a snapshot when the segments are half as long as the snapshot
// before. So the disk holds at most about 2.5 times the data: two snapshots while the second
// one is written, and the segments.
func (j *Journal) snapshotRegularly() {
	ticker := time.NewTicker(firstSnapshot)
	defer ticker.Stop()
	var retryAt time.Time
	failedAt := uint64(0) // the bytes of the log when a snapshot failed
	for {
		select {
		case <-ticker.C:
			ticker.Reset(lookInterval)
		case <-j.stop:
			return
		}
		if !j.snapshotDue() || time.Now().Before(retryAt) {
			continue
		}
		began, low, logged := time.Now(), j.Room() != nil, j.logged.Load()
		if low && logged == failedAt {
			continue // no write has made the state smaller
		}
		bytes, err := j.writeSnapshot()
		failedAt = 0
		switch {
		case errors.Is(err, errClosing):
			return
		case err != nil && !low:
			retryAt = time.Now().Add(snapshotRetry)
		case err != nil:
			failedAt = logged
			fallthrough
		case low:
			retryAt = time.Now().Add(lowRetry)
		}
		if o := j.options.Observer.Snapshot; o != nil {
			o(bytes, time.Since(began), err)
		}
	}
}

// snapshotDue reports whether a snapshot is to be written. While values are refused, one is
// due after any write, because a delete makes room only when the log before it is removed.
func (j *Journal) snapshotDue() bool {
	j.kept.mu.Lock()
	defer j.kept.mu.Unlock()
	logged := j.logged.Load()
	newest := j.active.Load().header.number
	if j.Room() != nil && logged > 0 {
		return true
	}
	return logged > max(j.limits.snapshot, uint64(j.kept.bytes/2)) || newest-max(j.kept.snapshot, 1) >= maxSegments
}

// writeSnapshot begins a segment, and writes a snapshot that has everything before it. It
// returns the length of the snapshot.
func (j *Journal) writeSnapshot() (bytes int64, err error) {
	before := j.logged.Load()
	if err := j.requestRotation(); err != nil {
		return 0, err
	}
	s := j.active.Load() // a later segment would do, too, because the state has all writes before it
	number, last := s.header.number, s.header.last
	w := snapshotWriter{directory: j.directory, name: snapshotName(number) + temporarySuffix, closing: &j.closing}
	w.header = header{magic: snapshotMagic, salt: newSalt(), store: j.store, number: number, last: last}
	if bytes, err = w.write(j.state); err != nil {
		return 0, errors.Join(err, removeUseless(j.directory, []string{w.name}))
	}
	if j.options.Fsync != Always {
		// A visible write may be in the snapshot before it is durable in the log.
		if err := j.active.Load().sync(); err != nil {
			j.fail(fmt.Errorf("journal: make durable: %w", err))
			return 0, errors.Join(err, removeUseless(j.directory, []string{w.name}))
		}
	}
	if err = j.directory.rename(w.name, snapshotName(number)); err == nil {
		err = j.directory.sync()
	}
	if err != nil { // all files that the snapshot was to replace are still there
		return 0, errors.Join(err, removeUseless(j.directory, []string{w.name, snapshotName(number)}))
	}
	j.logged.Add(-before)
	j.replaceSnapshot(number, bytes)
	j.removeUseless()
	return bytes, nil
}

// requestRotation asks the committer to begin a segment.
func (j *Journal) requestRotation() error {
	reply := make(chan error, 1)
	select {
	case j.rotations <- reply:
		return <-reply
	case <-j.committed:
		return errClosing
	}
}

// replaceSnapshot notes which files a new snapshot replaces.
func (j *Journal) replaceSnapshot(number uint64, bytes int64) {
	k := &j.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.snapshot != 0 {
		k.useless = append(k.useless, snapshotName(k.snapshot))
	}
	for old := max(k.snapshot, 1); old < number; old++ {
		k.useless = append(k.useless, segmentName(old))
	}
	k.snapshot, k.bytes = number, bytes
}

// removeUseless removes the files that are not needed. A file that a backup needs, or that
// cannot be removed, is tried again at the next call.
func (j *Journal) removeUseless() {
	k := &j.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.useless = slices.DeleteFunc(k.useless, func(name string) bool {
		return k.pinned[name] == 0 && removeUseless(j.directory, []string{name}) == nil
	})
}

// A snapshotWriter writes the frames of a snapshot.
type snapshotWriter struct {
	directory directory
	name      string
	header    header
	closing   *atomic.Bool // if it is set, the snapshot ends; nil: nothing ends it
	file      file
	encoder   encoder
	offset    uint64 // of the next frame
	unsure    int    // the bytes that may not be durable yet
	count     uint64 // the number of writes
	last      uint64 // the highest version
	err       error
}

// write writes the file and makes it durable. It returns its length.
func (w *snapshotWriter) write(s keyspace.State) (bytes int64, err error) {
	if w.file, err = w.directory.create(w.name); err != nil {
		return 0, err
	}
	w.last = w.header.last
	w.flush(w.header.encode())
	w.beginFrame()
	forgotten := s.Snapshot(w.add)
	if w.err == nil && w.encoder.count > 0 {
		w.endFrame(frameWrites)
		w.beginFrame()
	}
	for _, figure := range []uint64{w.count, w.last, forgotten} {
		w.encoder.payload = binary.LittleEndian.AppendUint64(w.encoder.payload, figure)
	}
	w.endFrame(frameFooter)
	if w.err == nil {
		w.err = w.file.Sync()
	}
	return int64(w.offset), errors.Join(w.err, w.file.Close())
}

func (w *snapshotWriter) add(r *keyspace.Record) bool {
	w.encoder.add(r, true)
	w.count++
	w.last = max(w.last, r.Version)
	if len(w.encoder.payload) > frameSize {
		w.endFrame(frameWrites)
		w.beginFrame()
	}
	return w.err == nil
}

func (w *snapshotWriter) beginFrame() {
	w.encoder.begin(append(w.encoder.payload[:0], noHeader[:]...), w.header.last)
}

func (w *snapshotWriter) endFrame(kind frameKind) {
	b := w.encoder.payload
	payload := b[frameHeaderSize:]
	h := frameHeader{
		length: uint32(len(payload)), first: w.header.last, kind: kind, count: w.encoder.count, payload: checksum(payload),
	}
	h.put(b, w.header.salt, w.offset)
	w.flush(b)
}

// flush writes b. Now and then it makes the file durable, and checks that there is room.
func (w *snapshotWriter) flush(b []byte) {
	if w.err != nil {
		return
	}
	if _, w.err = w.file.Write(b); w.err != nil {
		return
	}
	w.offset += uint64(len(b))
	if w.unsure += len(b); w.unsure < snapshotSync {
		return
	}
	w.unsure = 0
	if w.err = w.file.Sync(); w.err != nil {
		return
	}
	free, err := w.directory.free()
	switch {
	case w.closing != nil && w.closing.Load():
		w.err = errClosing
	case err == nil && free < snapshotFloor:
		w.err = fmt.Errorf("journal: no room for a snapshot: %d bytes are free, and the log needs the last %d: free space on the disk", free, snapshotFloor)
	}
}
