package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace"
)

// A state is the [keyspace.State] of a store under test: the last write of each key.
type state struct {
	tb testing.TB

	snapshots atomic.Int32 // calls of Snapshot that have not returned

	// inFlight is held for reading from before a commit until its writes are in the map.
	inFlight sync.RWMutex

	mu        sync.Mutex
	writes    map[string]keyspace.Record // by key; of a deleted key, the delete
	forgotten uint64                     // deletes up to this version may be missing
	loading   bool                       // Apply may be called
	closed    bool                       // neither Apply nor Snapshot may be called
	applied   int                        // calls of Apply
	failAt    int                        // the call of Apply that fails; 0: none
	failure   error                      // the error of that call
}

func newState(tb testing.TB) *state {
	return &state{tb: tb, writes: map[string]keyspace.Record{}}
}

// Apply implements [keyspace.State].
func (s *state) Apply(w *keyspace.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loading {
		s.tb.Errorf("Apply(%.20q) was called before Load, or after Load had returned", w.Key)
	}
	if s.applied++; s.failure != nil && s.applied >= s.failAt {
		if s.applied > s.failAt {
			s.tb.Errorf("Load called Apply %d times, although call %d returned %v", s.applied, s.failAt, s.failure)
		}
		return s.failure
	}
	if err := keyspace.CheckName(w.Key); err != nil {
		s.tb.Errorf("Apply got a bad name %.20q: %v", w.Key, err)
		return err
	}
	s.applyLocked(w)
	return nil
}

// applyLocked changes the state as a keyspace does: a write that is not newer changes
// nothing, and a touch counts only at the version that it touches.
func (s *state) applyLocked(w *keyspace.Record) {
	now := s.writes[w.Key]
	switch {
	case w.Touch && now.Value != nil && now.Version == w.Version:
		now.Expires = w.Expires
	case w.Touch || w.Version <= now.Version:
		return
	default:
		now = *w
		now.Key = strings.Clone(w.Key) // the store may use its memory again
	}
	s.writes[now.Key] = now
}

// commit applies writes that the store has committed.
func (s *state) commit(writes []keyspace.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range writes {
		s.applyLocked(&writes[i])
	}
}

// Snapshot implements [keyspace.State]. Like a keyspace, it waits for the commits that are
// in flight, and no commit waits for yield.
func (s *state) Snapshot(yield func(w *keyspace.Record) bool) (forgotten uint64) {
	if s.snapshots.Add(1) > 1 {
		s.tb.Error("Snapshot was called by two goroutines at a time")
	}
	defer s.snapshots.Add(-1)
	all, forgotten := s.all()
	for _, w := range all {
		w.Key = strings.Clone(w.Key)
		if !yield(&w) {
			break
		}
		w = scribbled // the record is valid only during yield
	}
	return forgotten
}

// all returns the values in the order of their names, and then the deletes.
func (s *state) all() (writes []keyspace.Record, forgotten uint64) {
	s.inFlight.Lock()
	defer s.inFlight.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.loading {
		s.tb.Error("Snapshot was called during Load, or after Close had returned")
	}
	var deletes []keyspace.Record
	for _, w := range s.writes {
		if w.Value == nil {
			deletes = append(deletes, w)
		} else {
			writes = append(writes, w)
		}
	}
	slices.SortFunc(writes, func(a, b keyspace.Record) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(deletes, func(a, b keyspace.Record) int { return cmp.Compare(a.Version, b.Version) })
	return append(writes, deletes...), s.forgotten
}

// scribbled replaces a record that a store may not use any more.
var scribbled = keyspace.Record{Key: "scribbled", Value: []byte("scribbled"), Version: 1, Expires: time.Unix(1, 0)}

// forget forgets the deletes up to a version.
func (s *state) forget(version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten = max(s.forgotten, version)
	maps.DeleteFunc(s.writes, func(_ string, w keyspace.Record) bool { return w.Value == nil && w.Version <= version })
}

// ignore removes keys that may have been written or not.
func (s *state) ignore(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.writes, func(key string, _ keyspace.Record) bool { return strings.HasPrefix(key, prefix) })
}

// highest returns the highest version.
func (s *state) highest() (version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.writes {
		version = max(version, w.Version)
	}
	return version
}

// maxDifferences is the most that one comparison reports.
const maxDifferences = 10

// compare reports the differences from the state before the store was opened again. A delete
// up to the version forgotten may be missing.
func (s *state) compare(want *state, forgotten uint64) {
	s.tb.Helper()
	differences := 0
	report := func(format string, args ...any) {
		s.tb.Helper()
		if differences++; differences <= maxDifferences {
			s.tb.Errorf(format, args...)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, w := range want.writes {
		got, ok := s.writes[key]
		switch {
		case !ok && w.Value == nil && w.Version <= forgotten:
		case !ok && w.Value == nil:
			report("%s was deleted at version %d, which is above %d, but the delete is not there", short(key), w.Version, forgotten)
		case !ok:
			report("%s has no value; want %d bytes at version %d", short(key), len(w.Value), w.Version)
		default:
			if d := difference(&got, &w); d != nil {
				report("%s: %v", short(key), d)
			}
		}
	}
	for key, got := range s.writes {
		if _, ok := want.writes[key]; !ok && (got.Value != nil || got.Version > want.forgotten) {
			report("%s has version %d, but was not written", short(key), got.Version)
		}
	}
	if differences > maxDifferences {
		s.tb.Errorf("%d keys differ", differences)
	}
}

// difference returns how a record differs from the one that was committed.
func difference(got, want *keyspace.Record) error {
	var all []error
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if got.Version != want.Version {
		add("version %d, want %d", got.Version, want.Version)
	}
	if (got.Value == nil) != (want.Value == nil) || string(got.Value) != string(want.Value) {
		add("value %s, want %s", describe(got.Value), describe(want.Value))
	}
	if got.Written != want.Written {
		add("written at %d, want %d", got.Written, want.Written)
	}
	if late := got.Expires.Sub(want.Expires); got.Expires.IsZero() != want.Expires.IsZero() || late < 0 || late >= time.Millisecond {
		add("it expires at %v, want %v", got.Expires, want.Expires)
	}
	if got.Key != want.Key || got.Touch != want.Touch {
		add("key %s, touch %v", short(got.Key), got.Touch)
	}
	return errors.Join(all...)
}

// short describes a name.
func short(name string) string {
	if len(name) <= 40 {
		return strconv.Quote(name)
	}
	return fmt.Sprintf("%.40q… of %d bytes", name, len(name))
}

// describe describes a value.
func describe(value []byte) string {
	switch {
	case value == nil:
		return "none"
	case len(value) <= 40:
		return strconv.Quote(string(value))
	}
	return fmt.Sprintf("%.40q… of %d bytes with the checksum %08x", value, len(value), crc32.ChecksumIEEE(value))
}
