package keyspace_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// A slowLoad is a Store that takes a second for each write that it applies.
type slowLoad struct {
	keyspace.Store
	writes        []keyspace.Record
	loads, closed int
	loading       bool
}

func (s *slowLoad) Load(state keyspace.State) (keyspace.History, error) {
	s.loads++
	s.loading = true
	defer func() { s.loading = false }()
	for i := range s.writes {
		time.Sleep(time.Second)
		if err := state.Apply(&s.writes[i]); err != nil {
			return keyspace.History{}, err
		}
	}
	return keyspace.History{Epoch: "kept", Last: 100}, nil
}

func (s *slowLoad) Close() error {
	if s.closed++; s.loading {
		return errors.New("closed during Load")
	}
	return s.Store.Close()
}

func newSlowLoad(writes ...keyspace.Record) *slowLoad {
	return &slowLoad{Store: keyspace.NewMemory(101), writes: writes}
}

func TestLoadedSaysWhenTheStateIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowLoad(put("a", "1", 2), put("b", "1", 3), put("c", "1", 4))
		ks := keyspace.New(keyspace.Options{Store: s})
		result := make(chan error)
		go func() { result <- ks.Load() }()
		time.Sleep(2500 * time.Millisecond)
		if ks.Loaded() || ks.Keys() != 2 {
			t.Errorf("after two writes: loaded %v, %d keys", ks.Loaded(), ks.Keys())
		}
		if err := <-result; err != nil || !ks.Loaded() || ks.Keys() != 3 || ks.Epoch() != "kept" || ks.Revision() != 100 {
			t.Errorf("Load: %v, loaded %v, %d keys, epoch %q, revision %d", err, ks.Loaded(), ks.Keys(), ks.Epoch(), ks.Revision())
		}
		if v := mustSet(t, ks, "a", "2"); v != 101 {
			t.Errorf("version %d, want 101", v)
		}
		if err := ks.Shutdown(t.Context()); err != nil || s.closed != 1 {
			t.Errorf("Shutdown: %v, closed %d times", err, s.closed)
		}
	})
}

// A Shutdown during Load ends it, also if only deletes are left to be applied, and closes
// the store when Load has returned.
func TestShutdownDuringLoad(t *testing.T) {
	for name, writes := range map[string][]keyspace.Record{
		"values":  {put("a", "1", 2), put("b", "1", 3), put("b", "2", 4), put("c", "1", 5)},
		"deletes": {put("a", "1", 2), del("b", 3), del("c", 4)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlowLoad(writes...)
				ks := keyspace.New(keyspace.Options{Store: s})
				result := make(chan error, 1)
				go func() { result <- ks.Load() }()
				time.Sleep(1500 * time.Millisecond)
				if err := ks.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				if err := <-result; !errors.Is(err, keyspace.ErrClosed) || ks.Loaded() || s.closed != 1 {
					t.Errorf("Load: %v, loaded %v, closed %d times; want ErrClosed", err, ks.Loaded(), s.closed)
				}
			})
		})
	}
}

// A Shutdown does not wait for Load longer than its context lasts.
func TestShutdownGivesUpDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowLoad(put("a", "1", 2))
		ks := keyspace.New(keyspace.Options{Store: s})
		result := make(chan error, 1)
		go func() { result <- ks.Load() }()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		synctest.Wait()
		if err := ks.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || s.closed != 0 {
			t.Errorf("Shutdown: %v, closed %d times; want its context's error, 0", err, s.closed)
		}
		if err := <-result; !errors.Is(err, keyspace.ErrClosed) {
			t.Errorf("Load: %v, want ErrClosed", err)
		}
		if err := ks.Shutdown(t.Context()); err != nil || s.closed != 1 {
			t.Errorf("the second Shutdown: %v, closed %d times", err, s.closed)
		}
	})
}

func TestLoadAfterShutdown(t *testing.T) {
	s := newSlowLoad()
	ks := keyspace.New(keyspace.Options{Store: s})
	if err := ks.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := ks.Load(); !errors.Is(err, keyspace.ErrClosed) || s.loads != 0 || s.closed != 1 {
		t.Errorf("Load: %v, loaded %d times, closed %d times; want ErrClosed, 0, 1", err, s.loads, s.closed)
	}
}

// The keyspace can be shut down after a Load that failed.
func TestShutdownAfterAFailedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowLoad(keyspace.Record{Key: "#", Value: []byte("1"), Version: 1})
		ks := keyspace.New(keyspace.Options{Store: s})
		if err := ks.Load(); !errors.Is(err, keyspace.ErrInvalidName) || ks.Loaded() {
			t.Errorf("Load: %v, loaded %v; want ErrInvalidName", err, ks.Loaded())
		}
		if err := ks.Shutdown(t.Context()); err != nil || s.closed != 1 {
			t.Errorf("Shutdown: %v, closed %d times", err, s.closed)
		}
	})
}
