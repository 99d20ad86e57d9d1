package keyspace_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

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
	encode(u) // only Deliver may
	in.updates = append(in.updates, u)
}

// encode returns the update as JSON, without its version.
func encode(u *keyspace.Update) []byte {
	return u.Encoded(0, func(u *keyspace.Update) []byte { return []byte(members(u) + "}") })
}

// encodeVersioned is encode with the version of a key's update.
func encodeVersioned(u *keyspace.Update) []byte {
	return u.Encoded(1, func(u *keyspace.Update) []byte {
		if u.Target.Kind == keyspace.KindTopic {
			return []byte(members(u) + "}")
		}
		return fmt.Appendf(nil, `%s,"version":%d}`, members(u), u.Version)
	})
}

func members(u *keyspace.Update) string {
	kind, value := "key", string(u.Value)
	if u.Target.Kind == keyspace.KindTopic {
		kind = "topic"
	}
	if u.Value == nil {
		value = `null,"deleted":true`
	}
	return fmt.Sprintf(`{"%s":%s,"value":%s`, kind, quote(u.Target.Name), value)
}

func quote(name string) []byte {
	quoted, err := json.Marshal(name)
	if err != nil {
		panic(err)
	}
	return quoted
}

func (in *inbox) messages() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var all []string
	for _, u := range in.updates {
		all = append(all, string(encode(u)))
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

// subscribe returns the revision that the subscription starts from.
func subscribe(ks *keyspace.Keyspace, ctx context.Context, key string, s keyspace.Subscriber) (revision uint64, err error) {
	err = ks.Subscribe(ctx, keyspace.Key(key), s, keyspace.Start{Mark: func(m keyspace.Mark) { revision = m.Revision }})
	return revision, err
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
			if rev, err := subscribe(ks, ctx, "a", &in); err != nil || rev != 1 {
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
		if err := ks.Unsubscribe(ctx, keyspace.Key("a"), &in); err != nil {
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
		if _, err := subscribe(ks, t.Context(), "n", &in); err != nil {
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
			if err := ks.Subscribe(ctx, keyspace.Topic("chat"), in, keyspace.Start{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := subscribe(ks, ctx, "chat", &key); err != nil { // another name space
			t.Fatal(err)
		}
		if err := ks.Publish(ctx, "chat", []byte(`"hello"`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := ks.Unsubscribe(ctx, keyspace.Topic("chat"), &a); err != nil {
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
			if _, err := subscribe(ks, t.Context(), "k", &boxes[i]); err != nil {
				t.Fatal(err)
			}
		}
		mustSet(t, ks, "k", "1")
		synctest.Wait()
		first := &encode(boxes[0].updates[0])[0]
		for i := range boxes {
			if &encode(boxes[i].updates[0])[0] != first {
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
		if _, err := subscribe(ks, t.Context(), "k", &in); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		if err := ks.Unsubscribe(t.Context(), keyspace.Key("k"), &in); err != nil {
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
		if _, err := subscribe(ks, t.Context(), fmt.Sprint("k", k), &boxes[k]); err != nil {
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

func second[T any](_ T, err error) error { return err }
