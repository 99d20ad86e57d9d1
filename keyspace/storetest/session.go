package storetest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
)

// patience is the longest time that a call may take. A store does not need it, but a
// computer may be slow.
const patience = time.Minute

// A session is a store from Open to Close, and the state that goes with it.
type session struct {
	tb      testing.TB
	o       Options
	dir     string
	store   keyspace.Store
	state   *state
	history keyspace.History
	closing sync.Once
}

// open opens a store, and loads it.
func open(tb testing.TB, o Options, dir string) *session {
	tb.Helper()
	s := openOnly(tb, o, dir)
	h, err := s.load()
	if err != nil {
		tb.Fatalf("Load: %v", err)
	}
	s.history, s.state.forgotten = h, h.Forgotten
	if highest := s.state.highest(); h.Last < highest {
		tb.Errorf("Load returned Last %d, but applied version %d", h.Last, highest)
	}
	if h.Forgotten > h.Last {
		tb.Errorf("Load returned Forgotten %d, which is above Last, %d", h.Forgotten, h.Last)
	}
	return s
}

// openOnly opens a store, but does not load it.
func openOnly(tb testing.TB, o Options, dir string) *session {
	tb.Helper()
	s := &session{tb: tb, o: o, dir: dir, store: o.Open(tb, dir), state: newState(tb)}
	tb.Cleanup(s.close)
	return s
}

func (s *session) load() (h keyspace.History, err error) {
	s.tb.Helper()
	s.state.loading = true
	within(s.tb, "Load", func() { h, err = s.store.Load(s.state) })
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.loading = false
	return h, err
}

// close closes the store once.
func (s *session) close() {
	s.tb.Helper()
	s.closing.Do(func() {
		s.tb.Helper()
		var err error
		within(s.tb, "Close", func() { err = s.store.Close() })
		if err != nil {
			s.tb.Errorf("Close: %v", err)
		}
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		s.state.closed = true
	})
}

// reopen closes the store and opens it again. It requires that nothing was lost.
func (s *session) reopen() *session {
	s.tb.Helper()
	s.close()
	next := open(s.tb, s.o, s.dir)
	next.wantAll(s)
	return next
}

// wantAll requires that no write of an earlier session was lost.
func (s *session) wantAll(before *session) {
	s.tb.Helper()
	h := s.history
	if h.Epoch == "" || h.Epoch != before.history.Epoch {
		s.tb.Errorf("the store has the epoch %q after it was opened again, and had %q before", h.Epoch, before.history.Epoch)
	}
	if highest := max(before.state.highest(), before.history.Last); h.Last < highest {
		s.tb.Errorf("Load returned Last %d, but version %d was given out", h.Last, highest)
	}
	if f := before.state.forgotten; h.Forgotten > f {
		s.tb.Errorf("Load returned Forgotten %d, but deletes are missing only up to %d", h.Forgotten, f)
	}
	s.state.compare(before.state, h.Forgotten)
}

// snapshot makes the store write a snapshot, if it can.
func (s *session) snapshot() {
	s.tb.Helper()
	if s.o.Snapshot == nil {
		return
	}
	var err error
	within(s.tb, "Snapshot", func() { err = s.o.Snapshot(s.store) })
	if err != nil {
		s.tb.Errorf("Snapshot: %v", err)
	}
}

// commit commits writes of a key. It requires that the commit succeeds, and returns the
// versions.
func (s *session) commit(writes ...keyspace.Record) []uint64 {
	s.tb.Helper()
	versions, err := s.commitWith(context.Background(), writes...)
	if err != nil {
		s.tb.Errorf("Commit(%s): %v", short(writes[0].Key), err)
	}
	return versions
}

// commitWith commits writes of a key. It requires that the store changes nothing but
// versions. If the commit fails, the writes are not in the state.
func (s *session) commitWith(ctx context.Context, writes ...keyspace.Record) ([]uint64, error) {
	s.tb.Helper()
	s.state.inFlight.RLock()
	defer s.state.inFlight.RUnlock()
	given := slices.Clone(writes)
	for i := range given {
		given[i].Value = bytes.Clone(given[i].Value)
	}
	err := s.store.Commit(ctx, given)
	versions := make([]uint64, len(given))
	if err == nil {
		last := s.history.Last
		for i := range given {
			s.wantNumbered(&given[i], &writes[i], last)
			if versions[i] = given[i].Version; !given[i].Touch {
				last = given[i].Version
			}
		}
		s.state.commit(given)
	}
	for i := range given {
		given[i] = scribbled // the slice belongs to the caller
	}
	return versions, err
}

// wantNumbered requires that the store has changed only the version of a write, to one
// above last.
func (s *session) wantNumbered(got, want *keyspace.Record, last uint64) {
	s.tb.Helper()
	numbered := *want
	numbered.Version = got.Version
	if got.Key != want.Key || got.Touch != want.Touch || !got.Expires.Equal(want.Expires) || difference(got, &numbered) != nil {
		s.tb.Errorf("Commit(%s) changed more than the version: %v", short(want.Key), difference(got, &numbered))
	}
	switch {
	case want.Touch && got.Version != want.Version:
		s.tb.Errorf("a touch of %s at version %d got version %d", short(want.Key), want.Version, got.Version)
	case !want.Touch && got.Version <= last:
		s.tb.Errorf("a write of %s got version %d, which is not above %d", short(want.Key), got.Version, last)
	}
}

// within calls f, and fails if f takes too long.
func within(tb testing.TB, what string, f func()) {
	tb.Helper()
	done := make(chan struct{})
	go func() { // f may never end
		defer close(done)
		f()
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
		tb.Fatalf("%s did not return within %v", what, patience)
	}
}

// value returns a value of a size, other bytes for each number.
func value(size, number int) []byte {
	v := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(number), byte(number >> 8)}).Read(v) // it never fails
	return v
}

// set returns a write of a value that was written now.
func set(key string, v []byte) keyspace.Record {
	return keyspace.Record{Key: key, Value: v, Written: time.Now().UnixMilli()}
}

// remove returns a delete.
func remove(key string) keyspace.Record {
	return keyspace.Record{Key: key, Written: time.Now().UnixMilli()}
}

// touch returns a touch of the key's value. The state has the value.
func (s *session) touch(key string, expires time.Time) keyspace.Record {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	w := s.state.writes[key]
	w.Touch, w.Expires = true, expires
	return w
}

// wantErr requires that err is want.
func wantErr(tb testing.TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("%s returned %v, want %v", what, err, want)
	}
}
