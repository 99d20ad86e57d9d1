package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/journal"
)

const (
	// failureGrace is the longest time that the server takes to end after its store has
	// failed. It is short, because the server meanwhile answers reads with values that may
	// not be on the disk.
	failureGrace = 2 * time.Second

	// closeGrace is the time that a shutdown leaves to the store after the grace, to make
	// the last writes durable.
	closeGrace = 2 * time.Second

	// A progress line is shown if loading takes longer than progressAfter, and is renewed
	// after progressEach.
	progressAfter = 300 * time.Millisecond
	progressEach  = 100 * time.Millisecond
)

// A store is the journal of a server. It logs and counts the journal's events.
type store struct {
	*journal.Journal
	log     serverLog
	dir     string
	metrics *storeMetrics
	failed  chan error // gets one error if nothing is committed any more

	hasFailed bool // the failure was logged

	// The progress of load:
	keys    func() int
	began   time.Time
	shownAt time.Time // of the progress line
	records int64
}

// open opens the store in the directory of the flags.
func (f *storageFlags) open(log serverLog) (*store, error) {
	s := &store{log: log, dir: f.DataDir, metrics: newStoreMetrics(int64(f.DiskReserve)), failed: make(chan error, 1)}
	var err error
	s.Journal, err = journal.Open(f.DataDir, journal.Options{
		Fsync: time.Duration(f.Fsync), Reserve: int64(f.DiskReserve), Observer: s.observer(),
	})
	if err != nil {
		return nil, fmt.Errorf("--data-dir ($DATA_DIR): %w", withHint(f.DataDir, err))
	}
	s.metrics.usage, s.metrics.room = s.Usage, s.Room
	shown := f.DataDir
	if absolute, err := filepath.Abs(shown); err == nil {
		shown = absolute
	}
	log.Info().Str("dir", shown).Str("fsync", f.Fsync.String()).Int64("disk_reserve_bytes", int64(f.DiskReserve)).Msg("store opened")
	return s, nil
}

// observer returns the functions that log and count the journal's events.
func (s *store) observer() journal.Observer {
	return journal.Observer{
		Loaded: s.showProgress,
		Torn: func(file string, offset, bytes int64) {
			s.log.Warn().Str("file", file).Int64("offset", offset).Int64("bytes", bytes).Msg("store end cut off")
		},
		Unknown: func(file string) {
			s.log.Warn().Str("file", file).Msg("store identity missing: clients load everything again")
		},
		Group:  s.metrics.committed,
		Synced: s.metrics.synced,
		Snapshot: func(bytes int64, took time.Duration, err error) {
			s.metrics.snapshotted(took, err)
			if err != nil {
				s.log.Error().Err(plainStoreError(err)).Float64("duration_ms", milliseconds(took)).Msg("snapshot failed")
				return
			}
			s.log.Info().Int64("bytes", bytes).Float64("duration_ms", milliseconds(took)).Msg("snapshot written")
		},
		Room: func(free int64, refusing bool) {
			e, message := s.log.Info(), "storage has room: values are accepted"
			if refusing {
				e, message = s.log.Warn(), "storage low: values are refused"
			}
			e.Int64("free_bytes", free).Int64("disk_reserve_bytes", s.metrics.reserve).Msg(message)
		},
		Failed: func(err error) { s.failed <- err },
	}
}

// load loads the state into ks, whose store is s.
func (s *store) load(ks *keyspace.Keyspace) error {
	s.keys, s.began = ks.Keys, time.Now()
	err := ks.Load()
	if s.log.progress != nil {
		s.log.progress.show("")
	}
	if err != nil {
		return err
	}
	u := s.Usage()
	s.log.Info().Int("keys", ks.Keys()).Int64("records", s.records).Int64("bytes", u.Used).Int("segments", u.Segments).
		Int64("free_bytes", u.Free).Float64("duration_ms", milliseconds(time.Since(s.began))).
		Str("epoch", ks.Epoch()).Uint64("revision", ks.Revision()).Msg("state loaded")
	return nil
}

// showProgress shows the number of writes that were read, if a person sees the log.
func (s *store) showProgress(records int64) {
	s.records = records
	now := time.Now()
	if s.log.progress == nil || now.Sub(s.began) < progressAfter || now.Sub(s.shownAt) < progressEach {
		return
	}
	s.shownAt = now
	s.log.progress.show(fmt.Sprintf("loading the state: %d writes read, %d keys, %.1f s", records, s.keys(), now.Sub(s.began).Seconds()))
}

// logLoadFailure logs the reason why the state was not loaded.
func (s *store) logLoadFailure(err error) {
	e := s.log.Error().Err(withHint(s.dir, err))
	var damage *journal.DamageError
	if errors.As(err, &damage) {
		e = e.Str("file", damage.File).Int64("offset", damage.Offset)
	}
	e.Msg("state not loaded")
}

// logFailure logs that the store failed, once.
func (s *store) logFailure(err error) {
	if !s.hasFailed {
		s.hasFailed = true
		s.log.Error().Err(withHint(s.dir, err)).Msg("store failed")
	}
}

// logEnd logs the end of the store: that it failed, or that it was closed. It logs neither if
// the time was too short to close it. err is the error of closing it. logEnd returns
// errStoreFailed if the store has failed.
func (s *store) logEnd(isClosed bool, err error) error {
	select {
	case failure := <-s.failed:
		s.logFailure(failure)
	default:
		if isClosed && err != nil {
			s.logFailure(err)
		}
	}
	if isClosed && !s.hasFailed {
		e := s.log.Info().Uint64("writes", s.metrics.writes.Load()).Uint64("written_bytes", s.metrics.bytes.Load())
		if u := s.Usage(); u.Used > 0 { // otherwise it was not loaded
			e = e.Int64("bytes", u.Used).Int("segments", u.Segments).Int64("free_bytes", u.Free)
		}
		e.Msg("store closed")
	}
	if s.hasFailed {
		return errStoreFailed
	}
	return nil
}

// plainStoreError returns err without the names of packages.
func plainStoreError(err error) error {
	return plainError{err, strings.NewReplacer("keyspace: load: ", "", "journal: ", "", "keyspace: ", "").Replace(err.Error())}
}

// withHint adds advice to an error of a store.
func withHint(dir string, err error) error {
	err = plainStoreError(err)
	var damage *journal.DamageError
	switch {
	case errors.As(err, &damage):
		return fmt.Errorf("%w: run rtdb check --data-dir %s, and then rtdb repair --data-dir %s, which lists the losses of a repair; or restore a backup", err, dir, dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: give the directory %s and its files to the user that runs rtdb (chown -R)", err, dir)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: free space on the disk of %s", err, dir)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: mount the disk of %s for writing", err, dir)
	}
	return err
}
