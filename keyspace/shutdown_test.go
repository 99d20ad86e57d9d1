package keyspace_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

func TestShutdownAnswersWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(context.Context, []keyspace.Record) error { <-gate; return nil }
		ks := open(t, keyspace.Options{Store: store})
		results := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := ks.Set(t.Context(), "k", []byte("1"))
				results <- err
			}()
			synctest.Wait()
		}
		ended := make(chan error)
		go func() { ended <- ks.Shutdown(t.Context()) }()
		synctest.Wait()
		for name, err := range map[string]error{
			"Set":     second(ks.Set(t.Context(), "k", []byte("2"))),
			"Set new": second(ks.Set(t.Context(), "new", []byte("2"))),
			"Delete":  second(ks.Delete(t.Context(), "k")),
			"Publish": ks.Publish(t.Context(), "t", []byte("2")),
		} {
			if !errors.Is(err, keyspace.ErrClosed) {
				t.Errorf("%s while shutting down: %v, want ErrClosed", name, err)
			}
		}
		if store.closed != 0 {
			t.Error("the store was closed under a write")
		}
		close(gate)
		for range 2 {
			if err := <-results; err != nil {
				t.Errorf("a write from before: %v", err)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if store.closed != 1 {
			t.Errorf("the store was closed %d times", store.closed)
		}
		if e, err := ks.Get("k"); err != nil || string(e.Value) != "1" {
			t.Errorf("Get after Shutdown: %q %v", e.Value, err)
		}
	})
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(ctx context.Context, _ []keyspace.Record) error { <-ctx.Done(); return ctx.Err() }
		ks := open(t, keyspace.Options{Store: store})
		result := make(chan error, 1)
		go func() {
			_, err := ks.Set(t.Context(), "k", []byte("1"))
			result <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := ks.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v, want its context's error", err)
		}
		if err := <-result; !errors.Is(err, keyspace.ErrUnavailable) {
			t.Errorf("the write that hung: %v, want ErrUnavailable", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }
