package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rtdb/keyspace"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// inbox is a Subscriber that keeps what it was told.
type inbox struct {
	mu      sync.Mutex
	updates []*keyspace.Update
}

func (in *inbox) Deliver(u *keyspace.Update) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.updates = append(in.updates, u)
}

func (in *inbox) messages() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var all []string
	for _, u := range in.updates {
		all = append(all, string(u.Message()))
	}
	return all
}

// open returns a keyspace whose versions start at 1.
func open(t testing.TB, o keyspace.Options) *keyspace.Keyspace {
	t.Helper()
	if o.Store == nil {
		o.Store = keyspace.NewMemory(1)
	}
	ks, err := keyspace.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ks.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return ks
}

func mustSet(t testing.TB, ks *keyspace.Keyspace, key, value string) uint64 {
	t.Helper()
	v, err := ks.Set(context.Background(), key, []byte(value))
	if err != nil {
		t.Fatalf("Set(%q): %v", key, err)
	}
	return v
}

func wantMessages(t *testing.T, in *inbox, want ...string) {
	t.Helper()
	if got := in.messages(); !slices.Equal(got, want) {
		t.Errorf("was told\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestAWriteIsReadAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		ctx := t.Context()
		if _, err := ks.Get("a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Get of nothing: %v, want ErrNotFound", err)
		}
		if _, err := ks.Delete(ctx, "a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Delete of nothing: %v, want ErrNotFound", err)
		}
		if v := mustSet(t, ks, "a", "1"); v != 1 {
			t.Errorf("first version %d, want 1", v)
		}
		var in inbox
		for range 2 { // twice is as once
			if rev, err := ks.Subscribe(ctx, "a", &in); err != nil || rev != 1 {
				t.Errorf("Subscribe: revision %d, %v; want 1", rev, err)
			}
		}
		mustSet(t, ks, "b", "0")
		mustSet(t, ks, "a", `{"x":1.50}`)
		e, err := ks.Get("a")
		if err != nil || e.Key != "a" || string(e.Value) != `{"x":1.50}` || e.Version != 3 {
			t.Errorf("Get: %s %v", e.Value, err)
		}
		if v, err := ks.Delete(ctx, "a"); err != nil || v != 4 {
			t.Errorf("Delete: version %d, %v; want 4", v, err)
		}
		if _, err := ks.Get("a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Get after Delete: %v, want ErrNotFound", err)
		}
		if _, err := ks.Delete(ctx, "a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("second Delete: %v, want ErrNotFound", err)
		}
		synctest.Wait()
		if err := ks.Unsubscribe(ctx, "a", &in); err != nil {
			t.Error(err)
		}
		mustSet(t, ks, "a", "2")
		synctest.Wait()
		wantMessages(t, &in,
			`{"key":"a","value":{"x":1.50}}`,
			`{"key":"a","value":null,"deleted":true}`)
	})
}

func TestNullIsAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		var in inbox
		if _, err := ks.Subscribe(t.Context(), "n", &in); err != nil {
			t.Fatal(err)
		}
		mustSet(t, ks, "n", "null")
		if e, err := ks.Get("n"); err != nil || string(e.Value) != "null" {
			t.Errorf("Get: %q, %v; want null", e.Value, err)
		}
		synctest.Wait()
		wantMessages(t, &in, `{"key":"n","value":null}`)
	})
}

func TestTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		ctx := t.Context()
		var a, b, key inbox
		if err := ks.Publish(ctx, "chat", []byte(`"nobody hears this"`)); err != nil {
			t.Fatal(err)
		}
		for _, in := range []*inbox{&a, &a, &b} {
			if err := ks.SubscribeTopic(ctx, "chat", in); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ks.Subscribe(ctx, "chat", &key); err != nil { // another name space
			t.Fatal(err)
		}
		if err := ks.Publish(ctx, "chat", []byte(`"hello"`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := ks.UnsubscribeTopic(ctx, "chat", &a); err != nil {
			t.Fatal(err)
		}
		if err := ks.Publish(ctx, "chat", []byte(`2`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantMessages(t, &a, `{"topic":"chat","value":"hello"}`)
		wantMessages(t, &b, `{"topic":"chat","value":"hello"}`, `{"topic":"chat","value":2}`)
		wantMessages(t, &key)
		if _, err := ks.Get("chat"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("a topic left a value: %v", err)
		}
	})
}

func TestAllSubscribersShareOneEncoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		boxes := make([]inbox, 3)
		for i := range boxes {
			if _, err := ks.Subscribe(t.Context(), "k", &boxes[i]); err != nil {
				t.Fatal(err)
			}
		}
		mustSet(t, ks, "k", "1")
		synctest.Wait()
		first := &boxes[0].updates[0].Message()[0]
		for i := range boxes {
			if &boxes[i].updates[0].Message()[0] != first {
				t.Errorf("subscriber %d got a copy of its own", i)
			}
		}
	})
}

// Unsubscribe's answer is the end, even with writers at full speed.
func TestNothingComesAfterUnsubscribe(t *testing.T) {
	ks := open(t, keyspace.Options{})
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					mustSet(t, ks, "k", "1")
				}
			}
		})
	}
	for range 2000 {
		var in inbox
		if _, err := ks.Subscribe(t.Context(), "k", &in); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		if err := ks.Unsubscribe(t.Context(), "k", &in); err != nil {
			t.Fatal(err)
		}
		n := len(in.messages())
		runtime.Gosched()
		if later := len(in.messages()); later != n {
			t.Fatalf("%d updates after the answer to Unsubscribe", later-n)
		}
	}
	close(stop)
	writers.Wait()
}

// Every subscriber sees every write of its key in version order, whatever
// goes on at other keys, and a reader never sees a version go back.
func TestUpdatesComeInVersionOrder(t *testing.T) {
	ks := open(t, keyspace.Options{})
	const keys, writers, each = 4, 8, 500
	boxes := make([]inbox, keys)
	for k := range keys {
		if _, err := ks.Subscribe(t.Context(), fmt.Sprint("k", k), &boxes[k]); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				mustSet(t, ks, fmt.Sprint("k", i%keys), fmt.Sprint(i))
			}
		})
	}
	readersDone := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		var last uint64
		for {
			select {
			case <-readersDone:
				return
			default:
			}
			if e, err := ks.Get("k0"); err == nil {
				if e.Version < last {
					t.Errorf("read version %d after %d", e.Version, last)
					return
				}
				last = e.Version
			}
		}
	})
	wg.Wait()
	close(readersDone)
	readers.Wait()
	if err := ks.Shutdown(t.Context()); err != nil { // all are told
		t.Fatal(err)
	}
	for k := range boxes {
		updates := boxes[k].updates
		if len(updates) != writers*each/keys {
			t.Errorf("key %d: %d updates, want %d", k, len(updates), writers*each/keys)
		}
		if !slices.IsSortedFunc(updates, func(a, b *keyspace.Update) int { return int(a.Version) - int(b.Version) }) {
			t.Errorf("key %d: updates out of version order", k)
		}
	}
}

func TestWhatNobodyHoldsIsRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		ctx := t.Context()
		var in inbox
		wantNames := func(when string, keys, topics int) {
			t.Helper()
			synctest.Wait()
			if k, tp := ks.Names(); k != keys || tp != topics {
				t.Errorf("%s: %d keys and %d topics are there, want %d and %d", when, k, tp, keys, topics)
			}
		}
		_, _ = ks.Get("read")
		_, _ = ks.Delete(ctx, "deleted")
		_ = ks.Unsubscribe(ctx, "unsubscribed", &in)
		_ = ks.Publish(ctx, "published", []byte("1"))
		_ = ks.UnsubscribeTopic(ctx, "unsubscribed", &in)
		wantNames("after looking at what is not there", 0, 0)

		mustSet(t, ks, "a", "1")
		if _, err := ks.Subscribe(ctx, "a", &in); err != nil {
			t.Fatal(err)
		}
		if err := ks.SubscribeTopic(ctx, "t", &in); err != nil {
			t.Fatal(err)
		}
		wantNames("while held", 1, 1)
		if _, err := ks.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		wantNames("deleted, with a subscriber", 1, 1)
		if rev, err := ks.Subscribe(ctx, "a", &in); err != nil || rev != 2 {
			t.Errorf("revision %d, %v; want that of the delete, 2", rev, err)
		}
		_ = ks.Unsubscribe(ctx, "a", &in)
		_ = ks.UnsubscribeTopic(ctx, "t", &in)
		wantNames("at the end", 0, 0)
	})
}

// Keys come and go under writers: no write is lost, none fails.
func TestWritesRaceRetirement(t *testing.T) {
	ks := open(t, keyspace.Options{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			var in inbox
			for i := range 3000 {
				key := fmt.Sprint("k", i%3)
				var err error
				switch (i + w) % 4 {
				case 0, 1:
					_, err = ks.Set(t.Context(), key, []byte("1"))
				case 2:
					if _, err = ks.Delete(t.Context(), key); errors.Is(err, keyspace.ErrNotFound) {
						err = nil
					}
				case 3:
					if _, err = ks.Subscribe(t.Context(), key, &in); err == nil {
						err = ks.Unsubscribe(t.Context(), key, &in)
					}
				}
				if err != nil {
					t.Errorf("step %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for k := range 3 {
		_, _ = ks.Delete(t.Context(), fmt.Sprint("k", k))
	}
	if err := ks.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys, topics := ks.Names(); keys != 0 || topics != 0 {
		t.Errorf("%d keys and %d topics were left behind", keys, topics)
	}
}

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
		if _, err := ks.Subscribe(t.Context(), "k", &in); err != nil {
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
			if _, err := ks.Subscribe(t.Context(), "k", in); err != nil {
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
		go func() { left <- ks.Unsubscribe(t.Context(), "k", &leaves) }()
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
		if len(panics) != 1 || panics[0].Key != "k" || panics[0].Value != "the store is broken" ||
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
			if err := ks.SubscribeTopic(t.Context(), "t", s); err != nil {
				t.Fatal(err)
			}
		}
		if err := ks.Publish(t.Context(), "t", []byte("1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(panics) != 3 || panics[2].Topic != "t" {
			t.Fatalf("OnPanic got %d panics, want the third of topic t", len(panics))
		}
		if err := ks.UnsubscribeTopic(t.Context(), "t", bomb); err != nil {
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

// loaded is a Store that starts with entries.
type loaded struct {
	keyspace.Store
	entries []keyspace.Entry
}

func (s *loaded) Load(yield func(keyspace.Entry) error) error {
	for _, e := range s.entries {
		if err := yield(e); err != nil {
			return err
		}
	}
	return nil
}

func TestOpenLoadsTheStore(t *testing.T) {
	ks := open(t, keyspace.Options{Store: &loaded{keyspace.NewMemory(100), []keyspace.Entry{
		{Key: "a", Value: []byte("1"), Version: 7},
		{Key: "b/c", Value: []byte("2"), Version: 9},
	}}})
	if e, err := ks.Get("b/c"); err != nil || string(e.Value) != "2" || e.Version != 9 {
		t.Errorf("Get: %+v, %v", e, err)
	}
	if v := mustSet(t, ks, "a", "3"); v != 100 {
		t.Errorf("version %d, want 100", v)
	}
	_, err := keyspace.Open(keyspace.Options{Store: &loaded{keyspace.NewMemory(1), []keyspace.Entry{{Key: "#"}}}})
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

func TestKeysAtRestHaveNoGoroutine(t *testing.T) {
	ks := open(t, keyspace.Options{})
	before := runtime.NumGoroutine()
	var writers sync.WaitGroup // several, for the race detector's sake
	for w := range 4 {
		writers.Go(func() {
			for i := range 50_000 {
				mustSet(t, ks, fmt.Sprint("device/", w, "/", i), "1")
			}
		})
	}
	writers.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched() // the last writes' actors are parking
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines with 200,000 keys at rest, %d before them", after, before)
	}
}

func second[T any](_ T, err error) error { return err }
