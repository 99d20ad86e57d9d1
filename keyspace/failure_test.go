package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// faultyStore fails, hangs or panics where it is told to.
type faultyStore struct {
	keyspace.Store
	commit func(ctx context.Context, writes []keyspace.Write) error // nil: the Store's
	closed int
}

func (s *faultyStore) Commit(ctx context.Context, writes []keyspace.Write) error {
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
		store.commit = func(context.Context, []keyspace.Write) error { return full }
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

// What waits while the store is busy is committed with one call, in order.
func TestWaitingWritesAreOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(_ context.Context, writes []keyspace.Write) error {
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

func TestAPanicIsConfinedToItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var panics []keyspace.Panic
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(_ context.Context, writes []keyspace.Write) error {
			if string(writes[0].Value) == `"panic"` {
				<-gate
				panic("the store is broken")
			}
			return nil
		}
		ks := open(t, keyspace.Options{Store: store, OnPanic: func(p keyspace.Panic) { panics = append(panics, p) }})
		var stays, leaves, topic inbox
		mustSet(t, ks, "k", "1")
		for _, in := range []*inbox{&stays, &leaves} {
			if _, err := subscribe(ks, t.Context(), "k", in); err != nil {
				t.Fatal(err)
			}
		}
		results := make(chan error, 3)
		go func() {
			_, err := ks.Set(t.Context(), "k", []byte(`"panic"`))
			results <- err
		}()
		synctest.Wait()
		go func() {
			_, err := ks.Set(t.Context(), "k", []byte("2"))
			results <- err
		}()
		synctest.Wait()
		left := make(chan error)
		go func() { left <- ks.Unsubscribe(t.Context(), keyspace.Key("k"), &leaves) }()
		synctest.Wait()
		close(gate)
		for range 2 {
			if err := <-results; !errors.Is(err, keyspace.ErrInternal) {
				t.Errorf("a write caught in the panic: %v, want ErrInternal", err)
			}
		}
		if err := <-left; err != nil {
			t.Errorf("Unsubscribe caught in the panic: %v", err)
		}
		if e, err := ks.Get("k"); err != nil || string(e.Value) != "1" {
			t.Errorf("Get after the panic: %q, %v; want 1", e.Value, err)
		}
		mustSet(t, ks, "k", "3")
		mustSet(t, ks, "other", "1")
		synctest.Wait()
		wantMessages(t, &stays, `{"key":"k","value":3}`)
		wantMessages(t, &leaves)
		if len(panics) != 1 || panics[0].Target != keyspace.Key("k") || panics[0].Value != "the store is broken" ||
			!strings.Contains(string(panics[0].Stack), "Commit") {
			t.Errorf("OnPanic got %+v", panics)
		}

		// A key that nobody holds leaves no heir.
		go func() {
			_, err := ks.Set(t.Context(), "fresh", []byte(`"panic"`))
			results <- err
		}()
		if err := <-results; !errors.Is(err, keyspace.ErrInternal) {
			t.Errorf("got %v, want ErrInternal", err)
		}
		synctest.Wait()
		if keys, _ := ks.Names(); keys != 2 {
			t.Errorf("%d keys, want 2", keys)
		}

		// A topic goes on as well.
		bomb := &bomb{}
		for _, s := range []keyspace.Subscriber{&topic, bomb} {
			if err := ks.Subscribe(t.Context(), keyspace.Topic("t"), s, keyspace.Start{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := ks.Publish(t.Context(), "t", []byte("1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(panics) != 3 || panics[2].Target != keyspace.Topic("t") {
			t.Fatalf("OnPanic got %d panics, want the third of topic t", len(panics))
		}
		if err := ks.Unsubscribe(t.Context(), keyspace.Topic("t"), bomb); err != nil {
			t.Fatal(err)
		}
		if err := ks.Publish(t.Context(), "t", []byte("2")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := topic.messages(); len(got) == 0 || got[len(got)-1] != `{"topic":"t","value":2}` {
			t.Errorf("the topic's other subscriber was told %q", got)
		}
	})
}

type bomb struct{ _ int }

func (*bomb) Deliver(*keyspace.Update) { panic("a broken subscriber") }

func TestShutdownAnswersWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(context.Context, []keyspace.Write) error { <-gate; return nil }
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
		store.commit = func(ctx context.Context, _ []keyspace.Write) error { <-ctx.Done(); return ctx.Err() }
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

func TestAWriterThatLeavesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(context.Context, []keyspace.Write) error { <-gate; return nil }
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
