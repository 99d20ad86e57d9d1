package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
)

// A quickConn takes everything at once.
type quickConn struct{}

func (quickConn) TrySend([]Message) (bool, error) { return true, nil }
func (quickConn) Send([]Message) error            { return nil }
func (quickConn) Close(error)                     {}

// A session in a pool has no timer while its client keeps up.
func TestASessionThatKeepsUpHasNoTimer(t *testing.T) { synctest.Test(t, testNoTimer) }

func testNoTimer(t *testing.T) {
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s := New(ks, quickConn{}, Options{
		Encoder: &Encoder{Update: func(u *keyspace.Update) []byte { return u.Value }},
		Pool:    &actor.Pool{Interval: time.Millisecond}, OnLag: func(Lag) {},
	})
	if err := s.Subscribe(ctx, []keyspace.Target{keyspace.Key("k")}, Start{}, func(keyspace.Mark) []byte { return []byte("mark") }); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if _, err := ks.Set(ctx, "k", []byte("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond)
	}
	time.Sleep(time.Second)
	if s.lag.timer != nil {
		t.Error("the session has a timer")
	}
	s.Close(context.Canceled)
	if stats, err := s.End(ctx); err != nil || stats.Delivered != 1000 {
		t.Errorf("End: %+v, %v", stats, err)
	}
	if err := ks.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}
