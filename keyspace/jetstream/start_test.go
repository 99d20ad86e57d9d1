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
