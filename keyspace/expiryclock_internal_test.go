package keyspace

import (
	"context"
	"errors"
	"testing"
	"time"
	"unsafe"
)

// A clock that was set after the start, as that of a device without a battery is, does not
// change when a key expires after a restart.
func TestAStoreGetsTheExpiryOfTheClock(t *testing.T) {
	setClock(t)
	ks, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := time.Now().Add(time.Hour)
	if _, err := ks.Write(context.Background(), "k", Change{Value: []byte("1"), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	storeState{ks}.Snapshot(func(w *Record) bool {
		if off := w.Expires.Round(0).Sub(want.Round(0)); off < -time.Second || off > time.Minute {
			t.Errorf("a store is told that the key expires %v late", off)
		}
		return true
	})
	if err := ks.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// setClock makes it look as if the clock was set an hour ahead since the start.
func setClock(t *testing.T) {
	real := epoch
	t.Cleanup(func() { epoch = real })
	// The first word of a time is its wall clock, in seconds from bit 30 on.
	*(*uint64)(unsafe.Pointer(&epoch)) -= 3600 << 30
	if ago := time.Since(epoch); ago > 30*time.Minute {
		t.Fatalf("epoch is %v ago: the layout of time.Time is another", ago)
	}
}

// A followed store passes the records that a test makes.
type followed struct {
	Store
	feed Feed
}

func (s *followed) Follow(f Feed)                  { s.feed = f }
func (*followed) Barrier(context.Context) error    { return nil }
func (*followed) ExpiryDelay(string) time.Duration { return 0 }

// A keyspace whose clock was set after the start expires the keys of others in time.
func TestARecordHasTheExpiryOfTheClock(t *testing.T) {
	setClock(t)
	store := &followed{Store: NewMemory(1)}
	ks, err := Open(Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Round(0).Add(time.Hour) // as another machine says
	store.feed.Apply([]Record{{Key: "k", Value: []byte("1"), Expires: expires, Version: 2, Position: 2}})
	err = ks.GetInOrder(context.Background(), "k", func(e Entry) {
		if e.TTL < 59*time.Minute || e.TTL > time.Hour {
			t.Errorf("the key lives for %v, want an hour", e.TTL)
		}
	})
	if err := errors.Join(err, ks.Shutdown(context.Background())); err != nil {
		t.Fatal(err)
	}
}
