package keyspace_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
)

// A faultyStore fails, hangs or panics in Commit as a test wants.
type faultyStore struct {
	keyspace.Store
	commit func(ctx context.Context, writes []keyspace.Record) error // nil: the Store's
	closed int
}

func (s *faultyStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	if s.commit != nil {
		if err := s.commit(ctx, writes); err != nil {
			return err
		}
	}
	return s.Store.Commit(ctx, writes)
}

func (s *faultyStore) Close() error {
	s.closed++
	return s.Store.Close()
}

// gated returns a store whose commits wait for the gate, if there is one. So a test
// can make several writes of a key one run.
func gated(gate *atomic.Pointer[chan struct{}]) *faultyStore {
	return &faultyStore{Store: keyspace.NewMemory(1), commit: func(context.Context, []keyspace.Record) error {
		if g := gate.Load(); g != nil {
			<-*g
		}
		return nil
	}}
}

// inOneRun makes the actor of key k handle the changes in one run, except the first,
// which is a run of its own.
func inOneRun(t *testing.T, ks *keyspace.Keyspace, gate *atomic.Pointer[chan struct{}], changes ...keyspace.Change) {
	t.Helper()
	g := make(chan struct{})
	gate.Store(&g)
	for _, c := range changes {
		go func() { _, _ = ks.Write(context.Background(), "k", c) }()
		synctest.Wait()
	}
	close(g)
	synctest.Wait()
}

// A lateStore gives the writes of some keys a version, and then makes Commit wait.
type lateStore struct {
	keyspace.Store
	late map[string]chan struct{}
}

func (s *lateStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	err := s.Store.Commit(ctx, writes)
	if hang := s.late[writes[0].Key]; hang != nil {
		<-hang
	}
	return err
}
