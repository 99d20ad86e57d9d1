package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// A replaying store applies writes, and shows the state and the versions of the commits
// that have returned.
type replaying struct {
	keyspace.Store
	writes []keyspace.Record
	state  keyspace.State

	mu       sync.Mutex
	returned map[string]uint64
}

func replay(writes ...keyspace.Record) *replaying {
	return &replaying{Store: keyspace.NewMemory(1000), writes: writes, returned: map[string]uint64{}}
}

func (s *replaying) Load(state keyspace.State) (keyspace.History, error) {
	s.state = state
	for _, w := range s.writes {
		if err := state.Apply(&w); err != nil {
			return keyspace.History{}, err
		}
	}
	return keyspace.History{Epoch: "kept", Last: 999, Forgotten: 1}, nil
}

func (s *replaying) Commit(ctx context.Context, writes []keyspace.Record) error {
	err := s.Store.Commit(ctx, writes)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range writes {
		s.returned[w.Key] = w.Version
	}
	return err
}

// snapshot returns the records of a snapshot as text.
func (s *replaying) snapshot() (all []string) {
	s.state.Snapshot(func(w *keyspace.Record) bool {
		all = append(all, text(w))
		return true
	})
	return all
}

// text returns a record as text: "deleted" for a delete, and ! before the minutes after
// which the key expires.
func text(w *keyspace.Record) string {
	value, expires := "deleted", ""
	if w.Value != nil {
		value = string(w.Value)
	}
	if !w.Expires.IsZero() {
		expires = fmt.Sprint("!", w.Expires.Sub(start).Minutes())
	}
	return fmt.Sprintf("%s=%s@%d,%d%s", w.Key, value, w.Version, w.Written, expires)
}

var start = time.Now().Add(time.Hour)

func put(key, value string, version uint64) keyspace.Record {
	return keyspace.Record{Key: key, Value: []byte(value), Version: version, Written: int64(version) * 10}
}

func del(key string, version uint64) keyspace.Record {
	return keyspace.Record{Key: key, Version: version, Written: int64(version) * 10}
}

// touch touches a key. The store has not kept the rest.
func touch(key string, version uint64, minutes int) keyspace.Record {
	w := keyspace.Record{Key: key, Touch: true, Version: version}
	if minutes > 0 {
		w.Expires = start.Add(time.Duration(minutes) * time.Minute)
	}
	return w
}

func TestApply(t *testing.T) {
	cases := []struct {
		name   string
		writes []keyspace.Record
		want   string // the snapshot
		keys   int64
	}{
		{"a value", []keyspace.Record{put("a", "1", 2), put("a", "2", 5)}, "[a=2@5,50]", 1},
		{"an older value", []keyspace.Record{put("a", "2", 5), put("a", "1", 2)}, "[a=2@5,50]", 1},
		{"a delete", []keyspace.Record{put("a", "1", 2), del("a", 3)}, "[a=deleted@3,30]", 0},
		{"a delete of a key that is not known", []keyspace.Record{del("a", 3)}, "[a=deleted@3,30]", 0},
		{"an older delete", []keyspace.Record{put("a", "1", 4), del("a", 3)}, "[a=1@4,40]", 1},
		{"deletes once more", []keyspace.Record{del("a", 3), del("a", 3), del("a", 2)}, "[a=deleted@3,30]", 0},
		{"a newer delete", []keyspace.Record{del("a", 3), del("b", 4), del("a", 5)}, "[b=deleted@4,40 a=deleted@5,50]", 0},
		{"a value that was deleted", []keyspace.Record{del("a", 3), put("a", "1", 2)}, "[a=deleted@3,30]", 0},
		{"a value after a delete", []keyspace.Record{del("a", 3), put("a", "1", 4)}, "[a=1@4,40]", 1},
		{"a touch", []keyspace.Record{put("a", "1", 2), touch("a", 2, 7)}, "[a=1@2,20!7]", 1},
		{"a touch of a touch", []keyspace.Record{put("a", "1", 2), touch("a", 2, 7), touch("a", 2, 8)}, "[a=1@2,20!8]", 1},
		{"a touch that ends the expiry", []keyspace.Record{put("a", "1", 2), touch("a", 2, 7), touch("a", 2, 0)}, "[a=1@2,20]", 1},
		{"a touch of an older value", []keyspace.Record{put("a", "1", 2), put("a", "2", 5), touch("a", 2, 7)}, "[a=2@5,50]", 1},
		{"a touch of a deleted key", []keyspace.Record{put("a", "1", 2), del("a", 3), touch("a", 2, 7), touch("a", 3, 7)}, "[a=deleted@3,30]", 0},
		{"a touch of nothing", []keyspace.Record{touch("a", 2, 7)}, "[]", 0},
		{"an expiry that a value ends", []keyspace.Record{put("a", "1", 2), touch("a", 2, 7), put("a", "2", 3)}, "[a=2@3,30]", 1},
		{"values and then deletes", []keyspace.Record{put("c", "1", 2), del("b", 3), put("a", "2", 4), del("d", 5)},
			"[a=2@4,40 c=1@2,20 b=deleted@3,30 d=deleted@5,50]", 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			// A store applies all writes again, from any one on, if a snapshot had them.
			for from := range len(c.writes) + 1 {
				s := replay(slices.Concat(c.writes, c.writes[from:])...)
				ks := open(t, keyspace.Options{Store: s})
				if got := fmt.Sprint(s.snapshot()); got != c.want || int64(ks.Keys()) != c.keys {
					t.Errorf("applied again from %d on: %s and %d keys, want %s and %d", from, got, ks.Keys(), c.want, c.keys)
				}
			}
		})
	}
}

// A delete does not expire, whatever a store says.
func TestApplyADeleteThatExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := del("a", 3)
		w.Expires = time.Now().Add(time.Second)
		ks := open(t, keyspace.Options{Store: replay(put("a", "1", 2), w)})
		time.Sleep(time.Minute)
		if keys, _ := ks.Names(); keys != 0 || ks.Keys() != 0 {
			t.Errorf("%d keys have an actor, and %d a value, want none", keys, ks.Keys())
		}
		mustSet(t, ks, "a", "2")
	})
}

func TestASnapshotEndsWhenYieldSaysSo(t *testing.T) {
	s := replay(put("a", "1", 2), put("b", "1", 3), del("c", 4), del("d", 5))
	open(t, keyspace.Options{Store: s})
	for want := 1; want <= 4; want++ {
		n := 0
		s.state.Snapshot(func(*keyspace.Record) bool { n++; return n < want })
		if n != want {
			t.Errorf("yield returned false at call %d, and was called %d times", want, n)
		}
	}
}

// A snapshot has the tombstones of deletes that were made before and after Load, and says
// up to which version others may be missing.
func TestASnapshotHasTheDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := replay(del("old", 3), put("a", "1", 4))
		ks := open(t, keyspace.Options{Store: s})
		if _, err := ks.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		mustSet(t, ks, "old", "2")
		synctest.Wait()
		versions := map[string]uint64{}
		forgotten := s.state.Snapshot(func(w *keyspace.Record) bool {
			versions[fmt.Sprintf("%s %v", w.Key, w.Value == nil)] = w.Version
			return true
		})
		if want := map[string]uint64{"a true": 1000, "old false": 1001}; !maps.Equal(versions, want) || forgotten != 1 {
			t.Errorf("the snapshot has %v and forgets up to %d, want %v and 1", versions, forgotten, want)
		}
	})
}

// A snapshot waits for a commit that the store has numbered, but no writer waits for a
// snapshot.
func TestASnapshotHasTheCommitsBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		s := replay()
		s.Store = &lateStore{Store: keyspace.NewMemory(1000), late: map[string]chan struct{}{"slow": hang}}
		ks := open(t, keyspace.Options{Store: s})
		mustSet(t, ks, "a", "1")
		go func() { _, _ = ks.Set(t.Context(), "slow", []byte("2")) }()
		synctest.Wait()
		snapshot, goOn := make(chan string), make(chan struct{})
		go s.state.Snapshot(func(w *keyspace.Record) bool {
			snapshot <- w.Key
			<-goOn
			return true
		})
		synctest.Wait()
		select {
		case key := <-snapshot:
			t.Errorf("the snapshot has %q while a commit from before is in progress", key)
		default:
		}
		mustSet(t, ks, "b", "3")
		close(hang)
		for _, want := range []string{"a", "b", "slow"} {
			if key := <-snapshot; key != want {
				t.Errorf("the snapshot has %q, want %q", key, want)
			}
			mustSet(t, ks, "a", "4") // yield has not returned
			goOn <- struct{}{}
		}
		synctest.Wait()
	})
}

// While many write, each snapshot has every write whose Commit had returned before it, or
// a newer one.
func TestSnapshotsWhileManyWrite(t *testing.T) {
	s := replay()
	ks := open(t, keyspace.Options{Store: s})
	stop := newWorkload(ks, 50).run(t, 8)
	for snapshots := 0; snapshots < 200; {
		s.mu.Lock()
		returned := maps.Clone(s.returned)
		s.mu.Unlock()
		seen := map[string]uint64{}
		forgotten := s.state.Snapshot(func(w *keyspace.Record) bool {
			seen[w.Key] = max(seen[w.Key], w.Version)
			return true
		})
		s.mu.Lock()
		after := maps.Clone(s.returned)
		s.mu.Unlock()
		for key, version := range returned {
			// A key that is missing was written during the snapshot.
			if v, ok := seen[key]; ok && v < version || !ok && after[key] == version && version > forgotten {
				t.Fatalf("the snapshot has version %d of %q, but version %d was committed before", v, key, version)
			}
		}
		if len(seen) < 10 { // the writers have not begun
			runtime.Gosched()
			continue
		}
		snapshots++
	}
	stop()
}

// While the store refuses values, deletes and expiries go on, also in one run with writes
// that are refused.
func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("the disk is full")
		var refusal error
		store := replay()
		gate := make(chan struct{})
		close(gate)
		store.Store = &faultyStore{Store: keyspace.NewMemory(1), commit: func(context.Context, []keyspace.Record) error { <-gate; return nil }}
		ks := open(t, keyspace.Options{Store: store, Refuse: func() error { return refusal }})
		mustSet(t, ks, "k", "1")
		mustSet(t, ks, "other", "1")
		setFor(t, ks, "expires", "1", time.Minute)
		if err := ks.Refusal(); err != nil {
			t.Errorf("Refusal: %v, want nil", err)
		}
		gate = make(chan struct{})
		results := make([]error, 5)
		for i, c := range []keyspace.Change{
			{Value: []byte("2")}, // in a run of its own
			{Value: []byte("3")},
			{Delete: true},
			{Value: []byte("4")},
			{Merge: func([]byte) ([]byte, error) { return []byte("5"), nil }},
		} {
			go func() { _, results[i] = ks.Write(t.Context(), "k", c) }()
			synctest.Wait()
		}
		refusal = full
		close(gate)
		synctest.Wait()
		refused := func(err error) bool { return errors.Is(err, keyspace.ErrUnavailable) && errors.Is(err, full) }
		for i, err := range results {
			if ok := i == 0 || i == 2; ok && err != nil || !ok && !refused(err) {
				t.Errorf("write %d: %v", i, err)
			}
		}
		wantValue(t, ks, "k", "")
		if _, err := ks.Write(t.Context(), "other", keyspace.Change{Touch: true, TTL: time.Hour}); !refused(err) {
			t.Errorf("touch: %v", err)
		}
		if _, err := ks.Set(t.Context(), "new", []byte("1")); !refused(err) || ks.Keys() != 2 {
			t.Errorf("a new key: %v, %d keys; want 2", err, ks.Keys())
		}
		if err := ks.Refusal(); err != full {
			t.Errorf("Refusal: %v, want the reason", err)
		}
		time.Sleep(2 * time.Minute)
		wantValue(t, ks, "expires", "")
		if e, err := ks.Get("other"); err != nil || e.TTL != 0 {
			t.Errorf("the key that was not touched: %+v, %v", e, err)
		}
		refusal = nil
		mustSet(t, ks, "k", "6")
	})
}
