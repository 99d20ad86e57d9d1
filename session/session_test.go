package session_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
)

func TestAPanicEndsOnlyItsSession(t *testing.T) {
	var value any
	var stack string
	o := session.Options{OnPanic: func(v any, s []byte) { value, stack = v, string(s) }}
	inBubble(t, o, &fakeConn{boom: true}, func(t *testing.T, f fixture) {
		other := &fakeConn{}
		s2 := session.New(f.ks, other, session.Options{Encoder: encoder})
		if err := s2.Subscribe(t.Context(), targets(keyspace.Key("k")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.subscribe(t, "k")
		f.set(t, "k", "1")
		f.set(t, "k", "2")
		synctest.Wait()
		f.conn.wantClosed(t, session.ErrInternal)
		other.want(t, `{"key":"k","value":1}`, `{"key":"k","value":2}`)
		if value != "a broken connection" || !strings.Contains(stack, "fakeConn).Send") {
			t.Errorf("OnPanic got %v\n%s", value, stack)
		}
		s2.Close(errDone)
		if _, err := s2.End(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A brokenConn panics when it is written to, and takes a second to close.
type brokenConn struct{ fakeConn }

func (c *brokenConn) TrySend([]session.Message) (bool, error) { panic("a broken connection") }
func (c *brokenConn) Close(error)                             { time.Sleep(time.Second) }

// A poolConn takes all messages at once.
type poolConn struct{ fakeConn }

func (c *poolConn) TrySend(messages []session.Message) (bool, error) {
	return true, c.Send(messages)
}

// Closing a connection after a panic does not hold up other sessions of the pool.
func TestAPanicDoesNotHoldUpOtherSessionsOfThePool(t *testing.T) {
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
		good.want(t, "x") // at once: the fake clock stands still
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
