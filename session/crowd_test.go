package session_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
)

// A costlyConn takes everything, after a time.
type costlyConn struct {
	fakeConn
	cost time.Duration

	mu     sync.Mutex
	oldest time.Duration // the age of the oldest update that it took
}

func (c *costlyConn) TrySend(messages []session.Message) (done bool, err error) {
	time.Sleep(c.cost)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range messages {
		age, _ := messages[i].Age()
		c.oldest = max(c.oldest, age)
	}
	return true, nil
}

// The subscribers of a key that has very many, and is written as fast as they can be
// written to, do not delay the subscriber of another key.
func TestABusyKeyDelaysNoOtherKey(t *testing.T) {
	for name, target := range map[string]keyspace.Target{
		"key": keyspace.Key("busy"), "pattern": keyspace.Pattern("+"), "topic": keyspace.Topic("busy"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testBusyKey(t, target) })
		})
	}
}

func testBusyKey(t *testing.T, target keyspace.Target) {
	const subscribers, cost = 5000, 100 * time.Microsecond // a round takes 0.5 s
	ctx := context.Background()
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		t.Fatal(err)
	}
	pool := &actor.Pool{Interval: 2 * time.Millisecond, Workers: 1}
	var sessions []*session.Session
	open := func(conn session.Conn, target keyspace.Target) {
		s := session.New(ks, conn, session.Options{Encoder: encoder, Pool: pool})
		if err := s.Subscribe(ctx, targets(target), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	for range subscribers {
		open(&costlyConn{cost: cost}, target)
	}
	quiet := new(costlyConn)
	open(quiet, keyspace.Key("quiet/key"))
	for range 300 {
		if target.Kind == keyspace.KindTopic {
			err = ks.Publish(ctx, "busy", []byte("1"))
		} else {
			_, err = ks.Set(ctx, "busy", []byte("1"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ks.Set(ctx, "quiet/key", []byte("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	quiet.mu.Lock()
	if quiet.oldest > 5*time.Millisecond {
		t.Errorf("an update of another key was sent after %v, want 5 ms at most", quiet.oldest)
	}
	quiet.mu.Unlock()
	for _, s := range sessions {
		s.Abort(errDone)
	}
	for _, s := range sessions {
		if _, err := s.End(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}
