package keyspace

import (
	"context"
	"testing"
	"time"
	"unsafe"
)

// A clock that was set after the start, as that of a device without a battery is, does not
// change when a key expires after a restart.
func TestAStoreGetsTheExpiryOfTheClock(t *testing.T) {
	real := epoch
	defer func() { epoch = real }()
	// The first word of a time is its wall clock, in seconds from bit 30 on.
	*(*uint64)(unsafe.Pointer(&epoch)) -= 3600 << 30
	if ago := time.Since(epoch); ago > 30*time.Minute {
		t.Fatalf("epoch is %v ago: the layout of time.Time is another", ago)
	}
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
