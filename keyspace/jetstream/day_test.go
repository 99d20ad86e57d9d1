package jetstream_test

import (
	"strings"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport/transporttest"
)

// A node that comes back after the stream has forgotten deletes ends, because it would keep
// keys that were deleted. One that comes back sooner goes on.
func TestANodeIsCutOffUntilDeletesAreForgotten(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	other := start(t, jetstream.Options{URL: c.URL(), Node: "other"})
	for _, age := range []time.Duration{time.Minute, time.Second} {
		p := transporttest.NewProxy(t, c.Server(0).Addr())
		failed := make(chan error, 1)
		s, err := jetstream.Open(jetstream.Options{URL: "nats://" + p.Addr, Node: "away", Observer: jetstream.Observer{Failed: func(err error) { failed <- err }}})
		if err != nil {
			t.Fatal(err)
		}
		s.SetDeleteAge(age + jetstream.DeleteMargin)
		away := startOn(t, s, s)
		if _, err := other.Set(t.Context(), "k", []byte("1")); err != nil {
			t.Fatal(err)
		}
		away.await(t, "k", patience)
		p.Refuse(true)
		p.Cut()
		if _, err := other.Write(t.Context(), "k", keyspace.Change{Delete: true}); err != nil {
			t.Fatal(err)
		}
		place := other.store.Status().Place
		eventually(t, patience, "beats for more than a second", func() bool { return other.store.Status().Place >= place+8 }) // two nodes beat
		p.Refuse(false)
		if age == time.Second {
			select {
			case err := <-failed:
				if !strings.Contains(err.Error(), "forgotten deletes") {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("the node goes on")
			}
			continue
		}
		eventually(t, patience, "the delete", func() bool {
			_, err := away.Get("k")
			return err != nil
		})
	}
}
