package keyspace_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// A countingStore counts the commits that are made while it loads.
type countingStore struct {
	keyspace.Store
	loading atomic.Bool
	early   atomic.Int64
}

func (s *countingStore) Load(state keyspace.State) (keyspace.History, error) {
	s.loading.Store(true)
	defer s.loading.Store(false)
	w := keyspace.Record{Key: "k", Value: []byte("1"), Version: 1, Expires: time.Now().Add(-time.Hour)}
	err := state.Apply(&w)
	time.Sleep(time.Minute) // as long as a large journal takes
	return keyspace.History{Last: 100}, err
}

func (s *countingStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	if s.loading.Load() {
		s.early.Add(1)
	}
	return s.Store.Commit(ctx, writes)
}

func TestNothingIsCommittedWhileTheStoreLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingStore{Store: keyspace.NewMemory(101)}
		ks := open(t, keyspace.Options{Store: s})
		wantValue(t, ks, "k", "")
		if n := s.early.Load(); n != 0 {
			t.Errorf("%d commits before Load had returned", n)
		}
	})
}

// A loaded is a Store that starts with entries.
type loaded struct {
	keyspace.Store
	entries []keyspace.Record
}

func (s *loaded) Load(state keyspace.State) (keyspace.History, error) {
	for i := range s.entries {
		if err := state.Apply(&s.entries[i]); err != nil {
			return keyspace.History{}, err
		}
	}
	h, err := s.Store.Load(state)
	h.Epoch = "loaded"
	return h, err
}

func TestOpenLoadsTheStore(t *testing.T) {
	ks := open(t, keyspace.Options{Store: &loaded{keyspace.NewMemory(100), []keyspace.Record{
		{Key: "a", Value: []byte("1"), Version: 7},
		{Key: "b/c", Value: []byte("2"), Version: 9, Written: 1234},
	}}})
	if e, err := ks.Get("b/c"); err != nil || string(e.Value) != "2" || e.Version != 9 || e.Written != 1234 {
		t.Errorf("Get: %+v, %v", e, err)
	}
	if epoch := ks.Epoch(); epoch != "loaded" {
		t.Errorf("epoch %q, want the store's", epoch)
	}
	if a, b := open(t, keyspace.Options{}).Epoch(), open(t, keyspace.Options{}).Epoch(); a == b || len(a) != 16 {
		t.Errorf("two starts in memory have the epochs %q and %q", a, b)
	}
	if v := mustSet(t, ks, "a", "3"); v != 100 {
		t.Errorf("version %d, want 100", v)
	}
	_, err := keyspace.Open(keyspace.Options{Store: &loaded{keyspace.NewMemory(1), []keyspace.Record{{Key: "#"}}}})
	if !errors.Is(err, keyspace.ErrInvalidName) {
		t.Errorf("Open with a bad name: %v, want ErrInvalidName", err)
	}
}

func TestVersionsStartAtTheClock(t *testing.T) {
	before := uint64(time.Now().UnixMicro())
	ks, err := keyspace.Open(keyspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if v := mustSet(t, ks, "k", "1"); v < before || v > uint64(time.Now().UnixMicro()) || v >= 1<<53 {
		t.Errorf("first version %d, want the clock's microseconds, from %d on", v, before)
	}
}

func TestNoWriteHasVersion0(t *testing.T) {
	ks := open(t, keyspace.Options{Store: keyspace.NewMemory(0)})
	if v := mustSet(t, ks, "k", "1"); v != 1 {
		t.Errorf("first version %d, want 1", v)
	}
}
