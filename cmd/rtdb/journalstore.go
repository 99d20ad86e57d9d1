package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"rtdb/keyspace/journal"
)

// A journalStore keeps the state in a directory. It logs and counts the journal's events.
type journalStore struct {
	*journal.Journal
	log     serverLog
	dir     string
	metrics *storeMetrics
	records int64 // that were loaded
}

// open opens the store in the directory of the flags.
func (f *storageFlags) open(log serverLog) (*store, error) {
	j := &journalStore{log: log, dir: f.DataDir, metrics: newStoreMetrics(int64(f.DiskReserve))}
	s := newStore(log, j)
	var err error
	j.Journal, err = journal.Open(f.DataDir, journal.Options{
		Fsync: time.Duration(f.Fsync), Reserve: int64(f.DiskReserve), Observer: j.observer(s),
	})
	if err != nil {
		return nil, fmt.Errorf("--data-dir ($DATA_DIR): %w", withHint(f.DataDir, err))
	}
	s.Store, s.collector, s.refuse, s.backup = j.Journal, j.metrics, j.Room, j.Backup
	j.metrics.usage, j.metrics.room = j.Usage, j.Room
	shown := f.DataDir
	if absolute, err := filepath.Abs(shown); err == nil {
		shown = absolute
	}
	log.Info().Str("dir", shown).Str("fsync", f.Fsync.String()).Int64("disk_reserve_bytes", int64(f.DiskReserve)).Msg("store opened")
	return s, nil
}

// observer returns the functions that log and count the journal's events.
func (j *journalStore) observer(s *store) journal.Observer {
	return journal.Observer{
		Loaded: func(records int64) {
			j.records = records
			s.showProgress(records, "writes")
		},
		Torn: func(file string, offset, bytes int64) {
			j.log.Warn().Str("file", file).Int64("offset", offset).Int64("bytes", bytes).Msg("store end cut off")
		},
		Unknown: func(file string) {
			j.log.Warn().Str("file", file).Msg("store identity missing: clients load everything again")
		},
		Group:  j.metrics.committed,
		Synced: j.metrics.synced,
		Snapshot: func(bytes int64, took time.Duration, err error) {
			j.metrics.snapshotted(took, err)
			if err != nil {
				j.log.Error().Err(plainStoreError(err)).Float64("duration_ms", milliseconds(took)).Msg("snapshot failed")
				return
			}
			j.log.Info().Int64("bytes", bytes).Float64("duration_ms", milliseconds(took)).Msg("snapshot written")
		},
		Room: func(free int64, refusing bool) {
			e, message := j.log.Info(), "storage has room: values are accepted"
			if refusing {
				e, message = j.log.Warn(), "storage low: values are refused"
			}
			e.Int64("free_bytes", free).Int64("disk_reserve_bytes", j.metrics.reserve).Msg(message)
		},
		Failed: func(err error) { s.failed <- err },
	}
}

func (j *journalStore) addLoaded(e *zerolog.Event) {
	u := j.Usage()
	e.Int64("records", j.records).Int64("bytes", u.Used).Int("segments", u.Segments).Int64("free_bytes", u.Free)
}

func (j *journalStore) addClosed(e *zerolog.Event) {
	e.Uint64("writes", j.metrics.writes.Load()).Uint64("written_bytes", j.metrics.bytes.Load())
	if u := j.Usage(); u.Used > 0 { // otherwise it was not loaded
		e.Int64("bytes", u.Used).Int("segments", u.Segments).Int64("free_bytes", u.Free)
	}
}

func (j *journalStore) addError(e *zerolog.Event, err error) {
	e.Err(withHint(j.dir, err))
	var damage *journal.DamageError
	if errors.As(err, &damage) {
		e.Str("file", damage.File).Int64("offset", damage.Offset)
	}
}

// withHint adds advice to an error of a journal.
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
