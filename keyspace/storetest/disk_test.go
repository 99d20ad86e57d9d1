package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"rtdb/keyspace"
)

// disks are directories that exist in memory alone.
type disks struct {
	mu     sync.Mutex
	byDir  map[string]*disk
	opened int
}

// A disk holds the writes that a store has kept.
type disk struct {
	epoch     string
	last      uint64
	forgotten uint64
	writes    []keyspace.Record
}

func (d *disks) of(dir string) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, ok := d.byDir[dir]
	if !ok {
		d.opened++
		kept = &disk{epoch: fmt.Sprint("epoch ", d.opened), last: 100, forgotten: 100}
		d.byDir[dir] = kept
	}
	return kept
}

// A diskStore is a durable store that keeps the contract, if no fault is set.
type diskStore struct {
	fault fault
	disk  *disk

	mu      sync.Mutex
	state   keyspace.State
	pending []keyspace.Record // only with a fault
	given   [][]keyspace.Record
	failed  error
}

// A fault is a way in which a diskStore is broken. The zero value breaks nothing.
type fault struct {
	commit   func(s *diskStore, ctx context.Context, writes []keyspace.Record) error // before a commit
	number   func(s *diskStore, w *keyspace.Record)                                  // gives a write another version
	keep     func(w *keyspace.Record) bool                                           // changes a write before it is kept; false: it is not kept
	late     bool                                                                    // a write is kept with the next one, or by Close
	retain   bool                                                                    // the caller's slice is read by Close
	apply    func(s *diskStore, err error) error                                     // replaces an error of State.Apply
	history  func(s *diskStore, h *keyspace.History)                                 // changes the result of Load
	close    func(s *diskStore) error                                                // at the end of Close
	snapshot func(s *diskStore, w *keyspace.Record) bool                             // changes a write of a snapshot; false: it is not kept
	alias    bool                                                                    // a snapshot keeps the records that it gets
	recall   bool                                                                    // a snapshot does not keep Forgotten
}

func (s *diskStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if f := s.fault.commit; f != nil {
		if err := f(s, ctx, writes); err != nil {
			return err
		}
	}
	s.flush()
	for i := range writes {
		w := &writes[i]
		if !w.Touch {
			s.disk.last++
			w.Version = s.disk.last
		}
		if f := s.fault.number; f != nil {
			f(s, w)
		}
		s.pending = append(s.pending, *w)
	}
	if s.fault.retain {
		s.pending = nil
		s.given = append(s.given, writes)
	}
	if !s.fault.late {
		s.flush()
	}
	return nil
}

// flush keeps the pending writes.
func (s *diskStore) flush() {
	for _, w := range s.pending {
		w.Value = bytes.Clone(w.Value)
		if s.fault.keep == nil || s.fault.keep(&w) {
			s.disk.writes = append(s.disk.writes, w)
		}
	}
	s.pending = nil
}

func (s *diskStore) Load(state keyspace.State) (keyspace.History, error) {
	s.state = state
	for _, w := range s.disk.writes {
		err := state.Apply(&w)
		if f := s.fault.apply; f != nil && err != nil {
			err = f(s, err)
		}
		if err != nil {
			return keyspace.History{}, err
		}
	}
	h := keyspace.History{Epoch: s.disk.epoch, Last: s.disk.last, Forgotten: s.disk.forgotten}
	if f := s.fault.history; f != nil {
		f(s, &h)
	}
	return h, nil
}

func (s *diskStore) Close() error {
	for _, writes := range s.given {
		s.disk.writes = append(s.disk.writes, writes...)
	}
	s.flush()
	if f := s.fault.close; f != nil {
		return f(s)
	}
	return nil
}

// replace replaces the writes that the store has kept with a snapshot.
func (s *diskStore) replace() error {
	s.mu.Lock()
	before := len(s.disk.writes)
	s.mu.Unlock()
	var records []*keyspace.Record
	forgotten := s.state.Snapshot(func(w *keyspace.Record) bool {
		if !s.fault.alias {
			copied := *w
			w = &copied
		}
		if f := s.fault.snapshot; f == nil || f(s, w) {
			records = append(records, w)
		}
		return true
	})
	var writes []keyspace.Record
	for _, w := range records {
		writes = append(writes, *w)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk.writes = append(writes, s.disk.writes[before:]...)
	if !s.fault.recall {
		s.disk.forgotten = max(s.disk.forgotten, forgotten)
	}
	return nil
}

// options returns the options of a diskStore with a fault.
func options(f fault) Options {
	d := &disks{byDir: map[string]*disk{}}
	return Options{
		Durable:  true,
		Open:     func(_ testing.TB, dir string) keyspace.Store { return &diskStore{fault: f, disk: d.of(dir)} },
		Snapshot: func(s keyspace.Store) error { return s.(*diskStore).replace() },
		Copy: func(tb testing.TB, dir string) string {
			copied := tb.TempDir()
			kept := *d.of(dir)
			kept.writes = slices.Clone(kept.writes)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.byDir[copied] = &kept
			return copied
		},
	}
}

func TestAStoreThatKeepsTheContractPasses(t *testing.T) { Run(t, options(fault{})) }
