package jetstream_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// A keptState keeps the versions of the keys that a store loads.
type keptState struct {
	keyspace.State
	versions map[string]uint64
	first    func() // is called before the first record is applied
}

func (s *keptState) Apply(w *keyspace.Record) error {
	if s.first != nil {
		s.first()
		s.first = nil
	}
	s.versions[w.Key] = w.Version
	return nil
}

// A key that is written while the state is loaded is in the state: the stream forgets its old
// message, perhaps before it was read.
func TestAKeyIsReplacedDuringLoad(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	const keys = 40 // of which one request reads 18
	value := bytes.Repeat([]byte("1"), 900<<10)
	var writers sync.WaitGroup
	for i := range keys {
		writers.Go(func() {
			if _, err := a.Set(t.Context(), fmt.Sprint(i), value); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	s, err := jetstream.Open(jetstream.Options{URL: c.URL(), Node: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	versions := make([]uint64, keys)
	state := &keptState{versions: map[string]uint64{}, first: func() {
		for i := range keys {
			if versions[i], err = a.Set(t.Context(), fmt.Sprint(i), []byte("2")); err != nil {
				t.Error(err)
			}
		}
	}}
	h, err := s.Load(state)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range versions {
		if got := state.versions[fmt.Sprint(i)]; got < want {
			t.Errorf("key %d is loaded at version %d, want %d: the state is said to be complete up to %d", i, got, want, h.Last)
		}
	}
}
