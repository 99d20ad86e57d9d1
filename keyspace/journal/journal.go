package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"rtdb/keyspace"
)

// Values of [Options].Fsync, besides an interval.
const (
	Always time.Duration = 0  // each write is durable before it is visible
	Never  time.Duration = -1 // the operating system decides
)

// Options are the settings of a [Journal]. The zero value makes every write durable
// before it is visible, and reports nothing.
type Options struct {
	// Fsync says when writes are made durable: Always, Never, or the longest time
	// until a write that is visible is durable.
	Fsync time.Duration

	// Reserve is the free space, in bytes, below which values are refused.
	Reserve int64

	// Observer is told what happens. Its functions must return soon.
	Observer Observer
}

// An Observer has a function for each event that can be reported. A nil function is not
// called.
type Observer struct {
	Loaded   func(records int64)                              // each 10,000 writes, during Load, and at its end
	Torn     func(file string, offset, bytes int64)           // the end of a file was cut off: it was never acknowledged
	Unknown  func(file string)                                // the identity was missing, so a new history begins
	Group    func(g Group)                                    // a group was committed
	Synced   func(took time.Duration)                         // what was visible was made durable, with an interval
	Snapshot func(bytes int64, took time.Duration, err error) // a snapshot was written, or failed
	Room     func(free int64, refusing bool)                  // values are refused from now on, or no longer
	Failed   func(err error)                                  // once: nothing is committed from now on
}

// A Group describes a group of writes that was committed together.
type Group struct {
	Writes int
	Bytes  int
	Wait   time.Duration // from the first write to the write of the group
	Sync   time.Duration // to make it durable; 0 if that is not waited for
}

// ErrClosed means that the journal was closed.
var ErrClosed = errors.New("journal: closed")

// A Journal is a [keyspace.Store] in a directory.
type Journal struct {
	dir       string
	directory directory
	lock      *os.File
	layout    *layout
	options   Options
	identity  identity
	store     storeID
	state     keyspace.State
	boot      [16]byte // of the bootID; zero: not known
	loaded    bool     // Load has succeeded

	mu        sync.Mutex
	gathering *group // waits to be committed
	next      uint64 // the version of the next write
	failure   error  // why nothing is committed any more

	wake      chan struct{}   // gathering is not empty
	lookNow   chan struct{}   // much is unseen
	rotations chan chan error // requests to begin a segment
	stop      chan struct{}   // closed by Close
	closing   atomic.Bool     // a snapshot is to end
	running   sync.WaitGroup
	committed chan struct{} // closed when the committer has ended

	active atomic.Pointer[segment] // only the committer appends to it
	spare  []byte                  // the committer's: a buffer for the next group
	logged atomic.Uint64           // the bytes of the segments since the oldest that is kept was begun

	limits limits
	kept   kept
	usage  atomic.Pointer[Usage]
	unseen atomic.Int64          // bytes that were written since the last look at the disk
	room   atomic.Pointer[error] // why values are refused
}

// limits are sizes in bytes, which tests make small.
type limits struct {
	segment  uint64 // at which a new segment is begun
	snapshot uint64 // of the segments, at which a snapshot is due, at least
	step     uint64 // by which a segment is made longer
}

var defaultLimits = limits{segment: 64 << 20, snapshot: 16 << 20, step: 256 << 10}

// Open locks a directory, which it makes if it does not exist, and checks that the files
// of a store are there. The errors include LockedError, ForeignError and DamageError.
func Open(dir string, o Options) (*Journal, error) {
	if err := makeDirectory(dir); err != nil {
		return nil, fmt.Errorf("journal: cannot make the directory: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	j, err := open(osDirectory(dir), dir, o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j.lock = lock
	return j, nil
}

// open is Open without the lock.
func open(d directory, dir string, o Options) (*Journal, error) {
	j := &Journal{
		dir: dir, directory: d, options: o, limits: defaultLimits, boot: bootOf(bootID()), gathering: newGroup(nil),
		wake: make(chan struct{}, 1), lookNow: make(chan struct{}, 1), rotations: make(chan chan error), stop: make(chan struct{}), committed: make(chan struct{}),
	}
	var err error
	if j.layout, err = readLayout(d, dir); err != nil {
		return nil, err
	}
	j.identity, err = readIdentity(d, filepath.Join(dir, identityName))
	switch {
	case err == nil:
		j.store, _ = j.identity.storeID() // it was checked
	case !isAbsent(err):
		return nil, err
	}
	return j, nil
}

// Commit implements [keyspace.Store]. The writes are in the next group that is written
// and made durable. If ctx ends first, Commit returns its cause, and the writes may be
// made nevertheless.
func (j *Journal) Commit(ctx context.Context, writes []keyspace.Record) error {
	j.mu.Lock()
	if j.failure != nil {
		defer j.mu.Unlock()
		return j.failure
	}
	g := j.gathering
	first := g.writes == 0
	if first {
		g.began, g.ctx = time.Now(), ctx
		select {
		case j.wake <- struct{}{}:
		default: // it is awake
		}
	}
	for i := range writes {
		g.add(&writes[i], &j.next)
	}
	j.mu.Unlock()
	return g.wait(ctx, first)
}

// Room returns [keyspace.ErrInsufficientStorage] with the figures while there is less free
// space than the reserve, or nil. It returns at once.
func (j *Journal) Room() error {
	if err := j.room.Load(); err != nil {
		return *err
	}
	return nil
}

// fail refuses all writes from now on. What is in memory and on disk may differ.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	first := j.failure == nil
	if first {
		j.failure = err
	}
	g := j.gathering
	j.gathering = newGroup(nil)
	j.mu.Unlock()
	g.finish(err)
	if o := j.options.Observer.Failed; o != nil && first && err != ErrClosed {
		o(err)
	}
}

// Close commits what waits, seals the segment, and unlocks the directory. A store that was
// closed is whole: every later change of its files is found.
func (j *Journal) Close() error {
	if j.closing.Swap(true) {
		return nil // it was closed
	}
	close(j.stop)
	j.running.Wait()
	var err error
	if j.loaded {
		if err = j.rotateOrFail(true); err == nil {
			j.fail(ErrClosed)
		}
	}
	if s := j.active.Load(); s != nil {
		err = errors.Join(err, s.close())
	}
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
	}
	return err
}
