package keyspace_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
)

// A subscriber may resume from an update's revision while the update is still being
// delivered to others. The keyspace knows the revision, and does not reset.
func TestARevisionMayBeUsedWhileItsUpdateIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		revisions, goOn := make(chan uint64), make(chan struct{})
		slow := subscriberFunc(func(u *keyspace.Update) { // stands for many subscribers that take long together
			revisions <- u.Revision()
			<-goOn
		})
		if err := ks.Subscribe(t.Context(), keyspace.Key("k"), &slow, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		var writing sync.WaitGroup
		writing.Go(func() { mustSet(t, ks, "k", "1") })
		since := <-revisions
		if got, m := resume(t, ks, since, nil); m.Reset || len(got) != 0 {
			t.Errorf("since %d: received %q, %+v", since, got, m)
		}
		close(goOn)
		writing.Wait()
	})
}

// A write that hangs in the store holds back the revision, and nothing else. Writes of
// other keys are delivered meanwhile, and a subscriber that resumes receives them again.
func TestTheRevisionWaitsForWritesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		store := &lateStore{Store: keyspace.NewMemory(1), late: map[string]chan struct{}{"slow": hang}}
		ks := open(t, keyspace.Options{Store: store})
		mustSet(t, ks, "a", "1") // version 1
		synctest.Wait()          // a writer is answered before its write is done
		done := make(chan uint64)
		go func() {
			v, err := ks.Set(context.Background(), "slow", []byte("2"))
			if err != nil {
				t.Error(err)
			}
			done <- v
		}()
		synctest.Wait() // it has version 2, and is not delivered
		if v := mustSet(t, ks, "b", "3"); v != 3 {
			t.Fatalf("version %d, want 3", v)
		}
		r := newRecorder()
		subscribeAll := func(since uint64) (m keyspace.Mark) {
			t.Helper()
			err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
				Resume: true, Since: since, Each: r.Deliver, Mark: func(mark keyspace.Mark) { m = mark },
			})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		if m := subscribeAll(0); m != (keyspace.Mark{Epoch: ks.Epoch(), Revision: 1}) {
			t.Errorf("mark %+v, want revision 1: 2 is in flight", m)
		}
		mustSet(t, ks, "b", "4")
		synctest.Wait()
		if r.last != 1 {
			t.Errorf("an update's revision is %d, want 1: 2 is in flight", r.last)
		}
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r); err != nil {
			t.Fatal(err)
		}
		close(hang)
		if v := <-done; v != 2 {
			t.Errorf("version %d, want 2", v)
		}
		synctest.Wait()
		if m := subscribeAll(1); m != (keyspace.Mark{Epoch: ks.Epoch(), Revision: 4}) || fmt.Sprint(r.versions["slow"]) != "[2]" {
			t.Errorf("mark %+v and %v of the key that hung, want revision 4 and [2]", m, r.versions["slow"])
		}
	})
}
