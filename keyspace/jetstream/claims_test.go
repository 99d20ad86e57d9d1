package jetstream_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// helloLimit is the time that a hello may take.
const helloLimit = 5 * time.Second

// takeOver takes over from the older session of a client, and checks that it is in time.
func (n node) takeOver(t *testing.T, client string, limit time.Duration) {
	t.Helper()
	began := time.Now()
	if err := n.store.TakeOver(t.Context(), client, "subject", began); err != nil {
		t.Errorf("TakeOver of %s: %v", client, err)
	}
	if took := time.Since(began); took > limit {
		t.Errorf("TakeOver of %s took %v", client, took)
	}
}

// keepOwned keeps a will for a client's session.
func (n node) keepOwned(t *testing.T, session, client string, w keyspace.Will) {
	t.Helper()
	owner := keyspace.WillOwner{Client: client, Subject: "subject"}
	if err := n.store.KeepWills(t.Context(), session, owner, []keyspace.Will{w}); err != nil {
		t.Fatal(err)
	}
}

// wantInOrder expects that the node has the value of a key already.
func (n node) wantInOrder(t *testing.T, key, want string) (version uint64) {
	t.Helper()
	err := n.GetInOrder(t.Context(), key, func(e keyspace.Entry) {
		if version = e.Version; string(e.Value) != want {
			t.Errorf("%s is %q, want %q", key, e.Value, want)
		}
	})
	if err != nil {
		t.Error(err)
	}
	return version
}

// The clients of a node that was killed come to another one at once. The wills of their older
// sessions are written before they have taken over, and not again when the node is declared dead.
func TestTakeOverFromANodeThatWasKilled(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	d := start(t, jetstream.Options{URL: c.URL(), Node: "d"})
	const clients = 20
	client := func(i int) string { return fmt.Sprint("client", i) }
	for i := range clients {
		a.keepOwned(t, fmt.Sprint("s", i), client(i), will(client(i), "gone"))
	}
	a.keepOwned(t, "late", "late", will("late", "gone"))
	a.keepOwned(t, "stays", "stays", will("stays", "gone"))
	a.keepOwned(t, "nameless", "", will("nameless", "gone"))
	eventually(t, patience, "the beats of the other nodes", func() bool { return b.store.Status().Peers == 2 })
	a.store.Crash()

	var coming sync.WaitGroup
	versions := make([]uint64, clients)
	for i := range clients {
		coming.Go(func() {
			b.takeOver(t, client(i), helloLimit)
			b.wantInOrder(t, client(i), "gone")
			var err error
			if versions[i], err = b.Set(t.Context(), client(i), []byte("online")); err != nil {
				t.Error(err)
			}
		})
	}
	coming.Wait()
	b.takeOver(t, "late", 2*time.Second) // nobody waits for the node any more
	b.wantInOrder(t, "late", "gone")
	b.takeOver(t, "", 2*time.Second)
	b.wantInOrder(t, "stays", "")
	b.wantInOrder(t, "nameless", "")

	for _, key := range []string{"stays", "nameless"} {
		d.await(t, key, patience)
	}
	eventually(t, patience, "the wills of the dead node are settled", func() bool { return d.store.Unsettled() == 0 })
	for i := range clients {
		if version := d.wantInOrder(t, client(i), "online"); version != versions[i] {
			t.Errorf("%s has version %d, want %d", client(i), version, versions[i])
		}
	}
}

// A node that is alive but does not answer in time writes nothing when its session ends.
func TestTakeOverFromANodeThatIsSlow(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	release, ended := make(chan struct{}), make(chan error)
	a.store.AnswerTakeovers(func(context.Context, string, string, time.Time) (bool, error) {
		<-release
		ended <- a.store.CarryOutWills(t.Context(), "s", []keyspace.Will{will("k", "gone")})
		return false, nil
	})
	a.keepOwned(t, "s", "client", will("k", "gone"))
	eventually(t, patience, "the beat of the other node", func() bool { return b.store.Status().Peers == 1 })
	b.takeOver(t, "client", helloLimit)
	version := b.wantInOrder(t, "k", "gone")
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := b.store.Barrier(t.Context()); err != nil {
		t.Error(err)
	}
	if again := b.wantInOrder(t, "k", "gone"); again != version {
		t.Error("the will was written twice")
	}
}
