package keyspace_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"unsafe"

	"rtdb/keyspace"
)

func TestAllSubscribersShareOneEncoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		boxes := make([]inbox, 3)
		for i := range boxes {
			if _, err := subscribe(ks, t.Context(), "k", &boxes[i]); err != nil {
				t.Fatal(err)
			}
		}
		mustSet(t, ks, "k", "1")
		synctest.Wait()
		first := &encode(boxes[0].updates[0])[0]
		for i := range boxes {
			if &encode(boxes[i].updates[0])[0] != first {
				t.Errorf("subscriber %d got a copy of its own", i)
			}
		}
	})
}

// No update is delivered after Unsubscribe has returned, even under load.
func TestNothingComesAfterUnsubscribe(t *testing.T) {
	ks := open(t, keyspace.Options{})
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					mustSet(t, ks, "k", "1")
				}
			}
		})
	}
	for range 2000 {
		var in inbox
		if _, err := subscribe(ks, t.Context(), "k", &in); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		if err := ks.Unsubscribe(t.Context(), keyspace.Key("k"), &in); err != nil {
			t.Fatal(err)
		}
		n := len(in.messages())
		runtime.Gosched()
		if later := len(in.messages()); later != n {
			t.Fatalf("%d updates after the answer to Unsubscribe", later-n)
		}
	}
	close(stop)
	writers.Wait()
}

// Every subscriber receives every write of its key in version order, while other keys
// are written. A reader never sees a version go back.
func TestUpdatesComeInVersionOrder(t *testing.T) {
	ks := open(t, keyspace.Options{})
	const keys, writers, each = 4, 8, 500
	boxes := make([]inbox, keys)
	for k := range keys {
		if _, err := subscribe(ks, t.Context(), fmt.Sprint("k", k), &boxes[k]); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				mustSet(t, ks, fmt.Sprint("k", i%keys), fmt.Sprint(i))
			}
		})
	}
	readersDone := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		var last uint64
		for {
			select {
			case <-readersDone:
				return
			default:
			}
			if e, err := ks.Get("k0"); err == nil {
				if e.Version < last {
					t.Errorf("read version %d after %d", e.Version, last)
					return
				}
				last = e.Version
			}
		}
	})
	wg.Wait()
	close(readersDone)
	readers.Wait()
	if err := ks.Shutdown(t.Context()); err != nil { // all updates are delivered
		t.Fatal(err)
	}
	for k := range boxes {
		updates := boxes[k].updates
		if len(updates) != writers*each/keys {
			t.Errorf("key %d: %d updates, want %d", k, len(updates), writers*each/keys)
		}
		if !slices.IsSortedFunc(updates, func(a, b *keyspace.Update) int { return int(a.Version) - int(b.Version) }) {
			t.Errorf("key %d: updates out of version order", k)
		}
	}
}

// Subscribers that have copies of a name get the same string from Own.
func TestOwn(t *testing.T) {
	ks := open(t, keyspace.Options{})
	for _, kind := range []keyspace.Kind{keyspace.KindKey, keyspace.KindTopic} {
		var first keyspace.Target
		for i := range 2 {
			target := keyspace.Target{Kind: kind, Name: fmt.Sprint("na", "me")}
			if own := ks.Own(target); i == 0 && own != target {
				t.Errorf("%v without a subscriber became %v", target, own)
			}
			if err := ks.Subscribe(t.Context(), target, new(inbox), keyspace.Start{}); err != nil {
				t.Fatal(err)
			}
			own := ks.Own(target)
			if i == 0 {
				first = own
			}
			if own != target || unsafe.StringData(own.Name) != unsafe.StringData(first.Name) {
				t.Errorf("the own copy of %v is %v, or another one than before", target, own)
			}
		}
	}
	if p := keyspace.Pattern("a/#"); ks.Own(p) != p {
		t.Errorf("%v became %v", p, ks.Own(p))
	}
}
