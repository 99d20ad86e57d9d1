package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
)

// A brokenConn panics, and takes its time to close.
type brokenConn struct{ fakeConn }

func (c *brokenConn) TrySend([]session.Message) (bool, error) { panic("a broken connection") }
func (c *brokenConn) Close(error)                             { time.Sleep(time.Second) }

// A poolConn takes all.
type poolConn struct{ fakeConn }

func (c *poolConn) TrySend(messages []session.Message) (bool, error) {
	return true, c.Send(messages)
}

// The close of a connection after a panic holds nobody else in the pool.
func TestAPanicHoldsNobodyInThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks, err := keyspace.Open(keyspace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pool := &actor.Pool{Workers: 1}
		good := new(poolConn)
		sessions := []*session.Session{
			session.New(ks, new(brokenConn), session.Options{Encoder: encoder, Pool: pool}),
			session.New(ks, good, session.Options{Encoder: encoder, Pool: pool}),
		}
		for _, s := range sessions {
			if err := s.Reply([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		good.want(t, "x") // the fake clock stands still
		for _, s := range sessions {
			s.Close(errDone)
			if _, err := s.End(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
