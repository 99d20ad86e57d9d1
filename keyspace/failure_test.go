package keyspace_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
)

func TestAPanicIsConfinedToItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var panics []keyspace.Panic
		gate := make(chan struct{})
		store := &faultyStore{Store: keyspace.NewMemory(1)}
		store.commit = func(_ context.Context, writes []keyspace.Record) error {
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

		// A key without a value and a subscriber gets no successor.
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
			t.Errorf("the topic's other subscriber received %q", got)
		}
	})
}

type bomb struct{ _ int }

func (*bomb) Deliver(*keyspace.Update) { panic("a broken subscriber") }

// If a panic in Deliver kept other subscribers from receiving a run, a subscriber that
// resumes from before the run receives everything, and a mark that says so.
func TestResumeAfterAPanicInDeliverResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate atomic.Pointer[chan struct{}]
		ks := open(t, keyspace.Options{Store: gated(&gate)})
		since := mustSet(t, ks, "k", "1")
		bad := subscriberFunc(func(u *keyspace.Update) {
			if string(u.Value) == "3" {
				panic("a broken subscriber")
			}
		})
		if err := ks.Subscribe(t.Context(), keyspace.Key("k"), &bad, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		inOneRun(t, ks, &gate, keyspace.Change{Value: []byte("2")}, keyspace.Change{Value: []byte("3")}, keyspace.Change{Delete: true})
		if _, err := ks.Get("k"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Fatalf("Get: %v", err)
		}
		if got, m := resume(t, ks, since, nil); !m.Reset {
			t.Errorf("received %q, %+v; want the delete, or a reset", got, m)
		}
	})
}
