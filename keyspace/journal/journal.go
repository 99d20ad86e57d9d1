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

	// Observer is told of events. Its functions must return soon.
	Observer Observer
}

// An Observer has a function for each event that can be reported. A nil function is not
// called.
type Observer struct {
	Loaded   func(records int64)                              // during Load: after each 10,000 writes, and at the end
	Torn     func(file string, offset, bytes int64)           // the end of a file was cut off: it was never acknowledged
	Unknown  func(file string)                                // the identity was missing, so a new history begins
	Group    func(g Group)                                    // a group was committed
	Synced   func(took time.Duration)                         // the log was made durable after an interval
	Snapshot func(bytes int64, took time.Duration, err error) // a snapshot was written, or failed
	Room     func(free int64, refusing bool)                  // values are refused from now on, or no longer
	Failed   func(err error)                                  // called once: nothing is committed from now on
}

// A Group describes a group of writes that was committed together.
type Group struct {
	Writes int
	Bytes  int
	Wait   time.Duration // from the group's first write until the group is written to the log
	Sync   time.Duration // to write the group and make it durable; 0 without Always
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
	failure   error  // the reason if nothing is committed any more

	turn        turn        // held to append to the log; nobody waits for it who holds mu
	brief       atomic.Bool // the last commit was of one writer, and took less than briefCommit
	spare       []byte      // a buffer for the next group
	committedAt time.Time   // the end of the last commit
	idle        *time.Timer // calls markIdle
	marking     bool        // idle is set

	wake      chan struct{}   // holds a token if gathering has writes
	lookNow   chan struct{}   // holds a token if unseen is large
	rotations chan chan error // requests to begin a segment
	stop      chan struct{}   // closed by Close
	closing   atomic.Bool     // Close was called; it ends a snapshot
	running   sync.WaitGroup
	committed chan struct{} // closed when the committer has ended

	active atomic.Pointer[segment] // only who has the turn appends to it
	logged atomic.Uint64           // the bytes of the log that are not in the newest snapshot

	limits limits
	kept   kept
	usage  atomic.Pointer[Usage]
	unseen atomic.Int64          // bytes that were written since the last look at the disk
	room   atomic.Pointer[error] // the reason if values are refused; nil: they are not
}

// limits are sizes in bytes, which tests make small.
type limits struct {
	segment  uint64 // the length of a segment at which a new one is begun
	snapshot uint64 // the least length of the segments at which a snapshot is due
	step     uint64 // the bytes by which a segment is made longer
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
		dir: dir, directory: d, options: o, limits: defaultLimits, boot: bootOf(bootID()), gathering: newGroup(nil), turn: make(turn, 1),
		wake: make(chan struct{}, 1), lookNow: make(chan struct{}, 1), rotations: make(chan chan error), stop: make(chan struct{}), committed: make(chan struct{}),
	}
	j.idle = time.AfterFunc(time.Hour, j.markIdle)
	j.idle.Stop()
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

// Commit implements [keyspace.Store]. It adds the writes to the group that is committed
// next. If ctx ends before the group is committed, Commit returns the cause of ctx, and the
// writes may take effect nevertheless. A writer that is alone commits its group itself, and does
// not watch ctx.
func (j *Journal) Commit(ctx context.Context, writes []keyspace.Record) error {
	j.mu.Lock()
	if j.failure != nil {
		defer j.mu.Unlock()
		return j.failure
	}
	g := j.gathering
	first := g.writes == 0
	for i := range writes {
		g.add(&writes[i], &j.next)
	}
	if !first {
		j.mu.Unlock()
		return g.wait(ctx, false)
	}
	g.began, g.ctx = time.Now(), ctx
	if j.brief.Load() && j.turn.tryTake() {
		if !j.isFull() { // otherwise a segment has to be begun, which takes long
			defer j.turn.pass()
			j.takeLocked()
			j.mu.Unlock()
			return j.commitGroup(g)
		}
		j.turn.pass()
	}
	select {
	case j.wake <- struct{}{}:
	default: // it is awake
	}
	j.mu.Unlock()
	return g.wait(ctx, true)
}

// Brief implements [keyspace.BriefStore]. While the file is made durable a write to it may wait, and
// so does a commit while a segment is begun.
func (j *Journal) Brief() bool {
	return j.brief.Load() && len(j.turn) == 0 && !j.active.Load().syncing.Load()
}

// Room returns [keyspace.ErrInsufficientStorage] with the figures while there is less free
// space than the reserve, or nil. It returns at once.
func (j *Journal) Room() error {
	if err := j.room.Load(); err != nil {
		return *err
	}
	return nil
}

// fail refuses all writes from now on, because the state in memory and the state on disk
// may differ.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	first := j.failure == nil
	if first {
		j.failure = err
	}
	g := j.gathering
	j.gathering = newGroup(nil)
	j.mu.Unlock()
	j.brief.Store(false)
	g.finish(err)
	if first && err != ErrClosed && j.options.Fsync != Always {
		if f, err := j.directory.create(failedName); err == nil { // the disk may refuse it, too
			_ = f.Close()
		}
	}
	if o := j.options.Observer.Failed; o != nil && first && err != ErrClosed {
		o(err)
	}
}

// Close commits the writes that wait, seals the segment, and unlocks the directory. A store
// that was closed is whole: the next Load finds every later change of its files.
func (j *Journal) Close() error {
	if j.closing.Swap(true) {
		return nil // it was closed
	}
	close(j.stop)
	j.running.Wait()
	j.idle.Stop()
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
