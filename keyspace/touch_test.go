package keyspace_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// A touch changes when a key expires, and nothing else.
func TestATouchSetsOnlyTheTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &recordingStore{Store: keyspace.NewMemory(1)}
		ks := open(t, keyspace.Options{Store: s})
		touch := func(c keyspace.Change) (keyspace.Entry, error) {
			c.Touch = true
			return ks.Write(t.Context(), "k", c)
		}
		if _, err := touch(keyspace.Change{TTL: time.Hour}); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("a touch of nothing: %v, want ErrNotFound", err)
		}
		setFor(t, ks, "k", "1", time.Minute)
		before, err := ks.Get("k")
		if err != nil {
			t.Fatal(err)
		}
		in := new(inbox)
		if err := ks.Subscribe(t.Context(), keyspace.Key("k"), in, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		after, err := touch(keyspace.Change{TTL: time.Hour})
		want := before
		want.TTL = time.Hour
		if err != nil || after.Version != want.Version || after.Written != want.Written || after.TTL != want.TTL {
			t.Errorf("%+v, %v; want %+v", after, err, want)
		}
		if got, err := ks.Get("k"); err != nil || got.TTL != want.TTL || got.Version != want.Version {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		_, err = touch(keyspace.Change{TTL: time.Second, If: func(version uint64) bool { return version != 1 }})
		if mismatch := (&keyspace.VersionError{}); !errors.As(err, &mismatch) || mismatch.Current != 1 {
			t.Errorf("a touch whose condition fails: %v", err)
		}
		time.Sleep(59 * time.Minute)
		wantValue(t, ks, "k", "1")
		if got := in.messages(); len(got) != 0 {
			t.Errorf("the subscriber received %q", got)
		}
		if r := ks.Revision(); r != 1 {
			t.Errorf("revision %d, want 1", r)
		}
		time.Sleep(time.Minute)
		wantValue(t, ks, "k", "")
		if got := in.messages(); len(got) != 1 {
			t.Errorf("the subscriber received %q, want the expiry alone", got)
		}
		if want := []bool{false, true, false}; !slices.Equal(s.touches, want) {
			t.Errorf("the store got touches %v, want %v", s.touches, want)
		}
	})
}

// Writes and touches of one key that wait together keep their order.
func TestATouchKeepsItsPlaceAmongWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		results := ks.WriteAll(t.Context(), []keyspace.KeyedChange{
			{Key: "k", Change: keyspace.Change{Touch: true, TTL: time.Second}},
			{Key: "k", Change: keyspace.Change{Value: []byte("1")}},
			{Key: "k", Change: keyspace.Change{Touch: true, TTL: time.Minute}},
			{Key: "k", Change: keyspace.Change{Merge: func([]byte) ([]byte, error) { return []byte("2"), nil }}},
			{Key: "k", Change: keyspace.Change{Touch: true, TTL: time.Hour}},
		})
		var versions []uint64
		for _, r := range results {
			versions = append(versions, r.Entry.Version)
		}
		if want := []uint64{0, 1, 1, 2, 2}; !slices.Equal(versions, want) || !errors.Is(results[0].Err, keyspace.ErrNotFound) {
			t.Fatalf("%+v, want versions %v", results, want)
		}
		if in := results[3].Entry.TTL; in != time.Minute {
			t.Errorf("the merge keeps a time to live of %v, want the minute of the touch before it", in)
		}
		time.Sleep(time.Hour - time.Second)
		wantValue(t, ks, "k", "2")
		time.Sleep(2 * time.Second)
		wantValue(t, ks, "k", "")
	})
}

// A recordingStore notes which records are touches.
type recordingStore struct {
	keyspace.Store
	touches []bool
}

func (s *recordingStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	for _, w := range writes {
		s.touches = append(s.touches, w.Touch)
	}
	return s.Store.Commit(ctx, writes)
}
