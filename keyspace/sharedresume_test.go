package keyspace_test

import (
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
)

// A subscriber comes from another keyspace, and has seen writes that wait here for an actor
// that is busy. It does not receive them again, and so sees no version go back.
func TestResumingWaitsForWritesThatAreNotDelivered(t *testing.T) {
	for _, target := range []keyspace.Target{keyspace.Pattern("#"), keyspace.Key("k")} {
		synctest.Test(t, func(t *testing.T) {
			hub := storetest.NewHub(storetest.HubOptions{})
			a, _ := openOn(t, hub)
			gate := make(chan struct{})
			b := open(t, keyspace.Options{Store: &sharedStore{SharedStore: hub.Open(), commit: func([]keyspace.Record) { <-gate }}})
			written := make(chan uint64)
			go func() { written <- mustSet(t, b, "k", "3") }()
			synctest.Wait()
			mustSet(t, a, "k", "1")
			since := mustSet(t, a, "k", "2")
			synctest.Wait() // the feed has brought both
			go func() {
				time.Sleep(time.Second / 2)
				close(gate)
			}()
			var in inbox
			var mark keyspace.Mark
			err := b.Subscribe(t.Context(), target, &in, keyspace.Start{
				Resume: true, Since: since, Epoch: a.Epoch(), Each: in.Deliver, Mark: func(m keyspace.Mark) { mark = m },
			})
			if err != nil {
				t.Fatal(err)
			}
			<-written
			settleDown()
			wantMessages(t, &in, `{"key":"k","value":3}`)
			if mark.Reset || mark.Revision < since {
				t.Errorf("%+v, want no reset and a revision from %d on", mark, since)
			}
		})
	}
}

// A revision of a keyspace that has a write in flight is known to it, although the feed has
// come further.
func TestResumingOnAKeyspaceWithAWriteInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{})
		a, _ := openOn(t, hub)
		gate := make(chan struct{})
		b := open(t, keyspace.Options{Store: &sharedStore{SharedStore: hub.Open(), commit: func([]keyspace.Record) { <-gate }}})
		mustSet(t, a, "x", "1")
		synctest.Wait()
		since := b.Revision()
		done := make(chan struct{})
		go func() {
			defer close(done)
			mustSet(t, b, "k", "1")
		}()
		synctest.Wait()
		last := mustSet(t, a, "x", "2")
		synctest.Wait()
		if now := b.Revision(); now >= last {
			t.Errorf("revision %d, although a write is in flight since %d", now, since)
		}
		began := time.Now()
		if got, m := resume(t, b, since, nil); m.Reset || len(got) != 1 {
			t.Errorf("received %q, %+v; want the new write and no reset", got, m)
		}
		if _, m := resume(t, b, last, nil); !m.Reset || time.Since(began) != time.Second {
			t.Errorf("%+v after %v, want a reset after a second: the write in flight may come before %d", m, time.Since(began), last)
		}
		close(gate)
		<-done
	})
}
