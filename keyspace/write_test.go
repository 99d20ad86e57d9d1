package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
)

func TestAWriteThatTheStoreRefusesTakesNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		ks := open(t, keyspace.Options{Store: store})
		var in inbox
		mustSet(t, ks, "k", "1")
		if _, err := subscribe(ks, t.Context(), "k", &in); err != nil {
			t.Fatal(err)
		}
		store.commit = func(context.Context, []keyspace.Record) error { return full }
		if _, err := ks.Set(t.Context(), "k", []byte("2")); !errors.Is(err, keyspace.ErrUnavailable) || !errors.Is(err, full) {
			t.Errorf("Set: %v, want ErrUnavailable with the store's error", err)
		}
		if _, err := ks.Delete(t.Context(), "k"); !errors.Is(err, keyspace.ErrUnavailable) {
			t.Errorf("Delete: %v, want ErrUnavailable", err)
		}
		store.commit = nil
		if e, err := ks.Get("k"); err != nil || string(e.Value) != "1" || e.Version != 1 {
			t.Errorf("Get: %+v, %v; want the value from before", e, err)
		}
		mustSet(t, ks, "k", "3")
		synctest.Wait()
		wantMessages(t, &in, `{"key":"k","value":3}`)
	})
}

// Writes that wait while the store is busy are committed with one call, in order.
func TestWaitingWritesAreOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(_ context.Context, writes []keyspace.Record) error {
			sizes = append(sizes, len(writes))
			<-gate
			return nil
		}
		ks := open(t, keyspace.Options{Store: store})
		results := make(chan string, 10)
		set := func(value string) {
			go func() {
				v, err := ks.Set(t.Context(), "k", []byte(value))
				results <- fmt.Sprint("set ", value, ": ", v, " ", err)
			}()
			synctest.Wait()
		}
		del := func() {
			go func() {
				v, err := ks.Delete(t.Context(), "k")
				results <- fmt.Sprint("delete: ", v, " ", errors.Is(err, keyspace.ErrNotFound))
			}()
			synctest.Wait()
		}
		set("1")
		set("2")
		del()
		del()
		set("3")
		close(gate)
		synctest.Wait()
		var got []string
		for range 5 {
			got = append(got, <-results)
		}
		slices.Sort(got)
		want := []string{"delete: 0 true", "delete: 3 false", "set 1: 1 <nil>", "set 2: 2 <nil>", "set 3: 4 <nil>"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if !slices.Equal(sizes, []int{1, 3}) {
			t.Errorf("commits of %v writes, want one of 1 and one of 3", sizes)
		}
	})
}

func TestAWriterMayLeaveBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(context.Context, []keyspace.Record) error { <-gate; return nil }
		ks := open(t, keyspace.Options{Store: store})
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error)
		go func() {
			_, err := ks.Set(ctx, "k", []byte("1"))
			result <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-result; !errors.Is(err, gone) {
			t.Errorf("got %v, want the cause of the context", err)
		}
		close(gate)
		synctest.Wait()
		if e, err := ks.Get("k"); err != nil || string(e.Value) != "1" {
			t.Errorf("the accepted write: %q, %v", e.Value, err)
		}
	})
}
