package jetstream_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// loadError opens a store, and returns the error of its Load.
func loadError(t *testing.T, o jetstream.Options) error {
	t.Helper()
	s, err := jetstream.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: s})
	if err == nil {
		_ = ks.Shutdown(t.Context())
	}
	return err
}

// A start that cannot succeed ends, and does not wait.
func TestAStartThatCannotSucceed(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{
		Config: `
			accounts {
				A { jetstream: enabled, users: [
					{ user: all, password: secret }
					{ user: little, password: secret, permissions: { publish: "rtdb.>", subscribe: ">" } }
				] }
				SYS { users: [ { user: sys, password: sys } ] }
			}
			system_account: SYS`,
		Connect: []nats.Option{nats.UserInfo("all", "secret")},
	})
	withUser := func(user string) string { return strings.Replace(c.URL(), "//", "//"+user+":secret@", 1) }
	if err := loadError(t, jetstream.Options{URL: withUser("nobody")}); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a user: %v", err)
	}
	if err := loadError(t, jetstream.Options{URL: withUser("little")}); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "STREAM") && !strings.Contains(err.Error(), "stream") {
		t.Errorf("without a right: %v", err)
	}
	if err := loadError(t, jetstream.Options{URL: withUser("all")}); err != nil {
		t.Errorf("with all rights: %v", err)
	}
}

// A start that waits for NATS says why, and can be given up.
func TestAStartThatWaits(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	c.Server(0).Terminate()
	reasons := make(chan error, 100)
	s, err := jetstream.Open(jetstream.Options{URL: c.URL(), Observer: jetstream.Observer{
		Waits: func(reason error) { reasons <- reason },
	}})
	if err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error, 1)
	ks := keyspace.New(keyspace.Options{Store: s})
	go func() { loaded <- ks.Load() }()
	if reason := <-reasons; !strings.Contains(reason.Error(), "not connected to NATS") {
		t.Errorf("it waits because %v", reason)
	}
	if err := s.Ready(); err == nil {
		t.Error("it is ready")
	}
	s.GiveUp()
	if err := <-loaded; !errors.Is(err, jetstream.ErrClosed) {
		t.Errorf("Load returns %v", err)
	}
	if err := ks.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A stuckFeed takes no records until it is released.
type stuckFeed struct{ released chan struct{} }

func (f stuckFeed) Apply([]keyspace.Record) { <-f.released }
func (f stuckFeed) Advance(uint64)          {}
func (f stuckFeed) Repair(string)           {}

// An emptyState takes no records, because the stream has none.
type emptyState struct{}

func (emptyState) Apply(*keyspace.Record) error                { return errors.New("a record") }
func (emptyState) Snapshot(func(*keyspace.Record) bool) uint64 { return 0 }

// A node whose feed falls behind tells so once.
func TestAFeedThatFallsBehind(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Lazy: true})
	behind := make(chan uint64, 10)
	s, err := jetstream.Open(jetstream.Options{URL: c.URL(), Observer: jetstream.Observer{
		Behind: func(messages uint64) { behind <- messages },
	}})
	if err != nil {
		t.Fatal(err)
	}
	feed := stuckFeed{make(chan struct{})}
	if _, err := s.Load(emptyState{}); err != nil {
		t.Fatal(err)
	}
	s.Follow(feed)
	writer := open(t, c.URL())
	if _, err := writer.Write(t.Context(), "k", keyspace.Change{Value: []byte("1")}); err != nil { // it is stuck there
		t.Fatal(err)
	}
	nc := c.Connect(t)
	for range 12_000 {
		if err := nc.Publish("rtdb.b.foreign", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := <-behind; n < 10_000 {
		t.Errorf("it is behind by %d messages", n)
	}
	close(feed.released)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := len(behind); n != 0 {
		t.Errorf("it told so %d times more", n)
	}
}
