package keyspace_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rtdb/keyspace"
)

func setFor(t testing.TB, ks *keyspace.Keyspace, key, value string, ttl time.Duration) {
	t.Helper()
	if _, err := ks.Write(context.Background(), key, keyspace.Change{Value: []byte(value), TTL: ttl}); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, ks *keyspace.Keyspace, key, want string) {
	t.Helper()
	synctest.Wait()
	e, err := ks.Get(key)
	if errors.Is(err, keyspace.ErrNotFound) && want == "" {
		return
	}
	if err != nil || string(e.Value) != want {
		t.Errorf("%v: %s holds %q, %v; want %q", time.Now(), key, e.Value, err, want)
	}
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// An inbox is a Subscriber that keeps the updates that it receives.
type inbox struct {
	mu      sync.Mutex
	updates []*keyspace.Update
}

func (in *inbox) Deliver(u *keyspace.Update) {
	in.mu.Lock()
	defer in.mu.Unlock()
	encode(u) // an update may be encoded only within Deliver
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

// subscribe subscribes to a key and returns the revision of the mark.
func subscribe(ks *keyspace.Keyspace, ctx context.Context, key string, s keyspace.Subscriber) (revision uint64, err error) {
	err = ks.Subscribe(ctx, keyspace.Key(key), s, keyspace.Start{Mark: func(m keyspace.Mark) { revision = m.Revision }})
	return revision, err
}

func wantMessages(t *testing.T, in *inbox, want ...string) {
	t.Helper()
	if got := in.messages(); !slices.Equal(got, want) {
		t.Errorf("received\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

type subscriberFunc func(*keyspace.Update)

func (f *subscriberFunc) Deliver(u *keyspace.Update) { (*f)(u) }
