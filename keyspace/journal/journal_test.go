package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"rtdb/keyspace"
	"rtdb/keyspace/journal"
)

// open opens a keyspace on a directory.
func open(t *testing.T, dir string, o journal.Options) *keyspace.Keyspace {
	t.Helper()
	j, err := journal.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: j, Refuse: j.Room})
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func TestTheStateIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	epoch, last := "", uint64(0)
	for round := range 3 {
		ks := open(t, dir, journal.Options{})
		if round > 0 && (ks.Epoch() != epoch || ks.Keys() != 9999 || ks.Revision() != last) {
			t.Errorf("round %d: epoch %s, %d keys, revision %d; want %s, 9999, %d", round, ks.Epoch(), ks.Keys(), ks.Revision(), epoch, last)
		}
		var writing sync.WaitGroup
		for w := range 50 {
			writing.Go(func() {
				for n := range 200 {
					key := fmt.Sprintf("k/%d/%d", w, n)
					if e, err := ks.Get(key); round > 0 && key != "k/1/1" && (err != nil || string(e.Value) != fmt.Sprint(round-1)) {
						t.Errorf("round %d: %s holds %q, %v", round, key, e.Value, err)
					}
					if _, err := ks.Set(context.Background(), key, fmt.Append(nil, round)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		e, err := ks.Delete(context.Background(), "k/1/1")
		if err != nil {
			t.Error(err)
		}
		epoch, last = ks.Epoch(), e
		if err := ks.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	ks := open(t, dir, journal.Options{})
	_, err := journal.Open(dir, journal.Options{})
	var locked *journal.LockedError
	if !errors.As(err, &locked) || locked.Dir != dir || locked.PID != os.Getpid() {
		t.Errorf("the second Open: %v", err)
	}
	if err := ks.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}
