package jetstream_test

import (
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// A node whose clock is set does not take the others for dead: their beats seem to be an hour
// old until its own next beat comes back.
func TestAClockIsSetAndNobodyDies(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	var dead atomic.Int32
	for range 3 {
		start(t, jetstream.Options{URL: c.URL(), Node: "other", Observer: jetstream.Observer{DeclaredDead: func() { dead.Add(1) }}})
	}
	a.store.SetHealthy()
	for i := range 5 { // each time after the beat of another node
		a.store.SetClock(time.Duration((i+1)%2) * time.Hour)
		place := a.store.Status().Place
		eventually(t, patience, "a beat of each node, and one more", func() bool { return a.store.Status().Place >= place+5 })
	}
	if n := dead.Load(); n > 0 {
		t.Errorf("%d nodes that live were declared dead", n)
	}
}
