package session_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
	"rtdb/session"
)

// A gateSubscriber holds up the delivery of one update.
type gateSubscriber struct{ arrived, pass chan struct{} }

func (g *gateSubscriber) Deliver(*keyspace.Update) {
	close(g.arrived)
	<-g.pass
}

// A revisionConn keeps the highest revision that was sent, and the keys.
type revisionConn struct {
	keys     []string
	revision uint64
}

func (c *revisionConn) TrySend([]session.Message) (bool, error) { return true, errors.ErrUnsupported }
func (c *revisionConn) Close(error)                             {}
func (c *revisionConn) Send(messages []session.Message) error {
	for i := range messages {
		c.keys = append(c.keys, string(messages[i].Text()))
		c.revision = max(c.revision, messages[i].Revision())
	}
	return nil
}

// While the session begins to end, the update of a is rejected. The update of b, which is
// delivered at the same time, must then not promise a revision that covers a.
func TestARevisionDoesNotCoverARejectedUpdate(t *testing.T) {
	for _, write := range []string{"alone", "in a burst"} {
		t.Run(write, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testRejectedUpdate(t, write == "in a burst") })
		})
	}
}

func testRejectedUpdate(t *testing.T, inBurst bool) {
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		t.Fatal(err)
	}
	first := &gateSubscriber{make(chan struct{}), make(chan struct{})}
	if err := ks.Subscribe(t.Context(), keyspace.Key("a"), first, keyspace.Start{}); err != nil {
		t.Fatal(err)
	}
	encoding, encode := make(chan struct{}), make(chan struct{})
	conn := new(revisionConn)
	s := session.New(ks, conn, session.Options{Revisions: true, Encoder: &session.Encoder{
		Update: func(u *keyspace.Update) []byte {
			if u.Target.Name == "b" {
				close(encoding)
				<-encode
			}
			return []byte(u.Target.Name)
		},
	}})
	if err := s.Subscribe(t.Context(), targets(keyspace.Key("a"), keyspace.Key("b")), session.Start{}, noReply); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup // a writer may be answered after the deliveries
	set := func(key string) {
		writing.Go(func() {
			var b keyspace.Burst
			c := keyspace.Change{Value: []byte("1")}
			if inBurst {
				b.Begin()
				c.Burst = &b
			}
			if _, err := ks.Write(t.Context(), key, c); err != nil {
				t.Error(err)
			}
			b.End()
		})
	}
	set("a")
	<-first.arrived // the update of a has not reached the session yet
	a, err := ks.Get("a")
	if err != nil {
		t.Fatal(err)
	}
	set("b")
	<-encoding // the update of b has found the session open
	s.Close(errDone)
	close(first.pass)
	inOrder := func(key string) { // waits until the key's updates are delivered
		if err := ks.GetInOrder(t.Context(), key, func(keyspace.Entry) {}); err != nil {
			t.Fatal(err)
		}
	}
	inOrder("a")
	close(encode)
	inOrder("b")
	writing.Wait()
	if _, err := s.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ks.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if conn.revision >= a.Version {
		t.Errorf("the client got %q and revision %d, which covers a at version %d", conn.keys, conn.revision, a.Version)
	}
}
