package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/journal"
)

// shutdown ends a keyspace and closes its store.
func shutdown(t *testing.T, ks *keyspace.Keyspace) {
	t.Helper()
	if err := ks.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// set writes n keys.
func set(t *testing.T, ks *keyspace.Keyspace, n int, value string) {
	t.Helper()
	for i := range n {
		if _, err := ks.Set(context.Background(), fmt.Sprint("k/", i), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
}

// A backup of a store that is written to can be restored, and has everything that was
// written before it. The restored store has a history of its own.
func TestABackupIsRestored(t *testing.T) {
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: j})
	if err != nil {
		t.Fatal(err)
	}
	set(t, ks, 1000, "1")
	if _, err := ks.Write(context.Background(), "temporary", keyspace.Change{Value: []byte("1"), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	deleted, err := ks.Delete(context.Background(), "k/7")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := ks.Set(context.Background(), "later", fmt.Append(nil, n)); err != nil {
				t.Error(err)
			}
		}
	})
	var archive bytes.Buffer
	if err := j.Backup(context.Background(), &archive); err != nil {
		t.Fatal(err)
	}
	close(stop)
	writing.Wait()
	epoch, last := ks.Epoch(), ks.Revision()
	whole := archive.Bytes()
	shutdown(t, ks)

	r, err := journal.Restore(copied, bytes.NewReader(whole))
	if err != nil || r.Keys < 1000 || r.Deletes != 1 || !r.Closed || r.Torn != 0 {
		t.Fatalf("restored %+v, %v", r, err)
	}
	ks = open(t, copied, journal.Options{})
	if e, err := ks.Get("temporary"); err != nil || e.TTL <= 59*time.Minute {
		t.Errorf("temporary: %+v, %v", e, err)
	}
	if _, err := ks.Get("k/7"); !errors.Is(err, keyspace.ErrNotFound) {
		t.Errorf("the deleted key: %v", err)
	}
	if ks.Epoch() == epoch || ks.Revision() < last {
		t.Errorf("epoch %s and revision %d, before %s and %d", ks.Epoch(), ks.Revision(), epoch, last)
	}
	// A client of the old history gets all values again, even if it does not know its epoch.
	for _, since := range []uint64{deleted, last} {
		var m keyspace.Mark
		start := keyspace.Start{Resume: true, Since: since, Each: func(*keyspace.Update) {}, Mark: func(got keyspace.Mark) { m = got }}
		if err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), new(deaf), start); err != nil || !m.Reset {
			t.Errorf("resumed since %d: %+v, %v", since, m, err)
		}
	}
	shutdown(t, ks)

	if _, err := journal.Restore(copied, bytes.NewReader(whole)); err == nil {
		t.Error("a store was restored over another")
	}
	for name, bad := range map[string][]byte{
		"half":    whole[:len(whole)/2],
		"altered": bytes.Replace(whole, []byte("temporary"), []byte("temporal?"), 1),
		"no tar":  []byte("hello"),
		"empty":   nil,
	} {
		dir := t.TempDir()
		if _, err := journal.Restore(dir, bytes.NewReader(bad)); err == nil {
			t.Errorf("%s: restored", name)
		}
		for _, f := range must(os.ReadDir(dir)) {
			if f.Name() != "lock" {
				t.Errorf("%s: left %s", name, f.Name())
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type deaf struct{ _ byte }

func (*deaf) Deliver(*keyspace.Update) {}

// A repair lists the losses, keeps the damaged files, and leaves a store with the rest.
func TestRepair(t *testing.T) {
	dir := t.TempDir()
	ks := open(t, dir, journal.Options{})
	set(t, ks, 100, "1")
	shutdown(t, ks)
	if r, err := journal.PlanRepair(dir); err != nil || len(r.Losses) != 0 || r.Keys != 100 {
		t.Errorf("the plan for a whole store: %+v, %v", r, err)
	}
	log := filepath.Join(dir, "0000000001.log")
	text := must(os.ReadFile(log))
	at := bytes.Index(text, []byte("k/50"))
	text[at]++
	if err := os.WriteFile(log, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := journal.Check(dir)
	var damage *journal.DamageError
	if !errors.As(err, &damage) || damage.File != log || damage.Offset > int64(at) || damage.Offset < int64(at)-100 {
		t.Fatalf("Check: %v", err)
	}
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyspace.Open(keyspace.Options{Store: j}); !errors.As(err, &damage) {
		t.Fatalf("Open: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := journal.PlanRepair(dir)
	if err != nil || len(r.Losses) != 1 || r.Losses[0].File != log || r.Losses[0].First == 0 || r.Losses[0].First != r.Losses[0].Last || r.Keys != 99 {
		t.Fatalf("the plan: %+v, %v", r, err)
	}
	kept, err := r.Run()
	if err != nil {
		t.Fatal(err)
	}
	if saved := must(os.ReadFile(filepath.Join(kept, "0000000001.log"))); !bytes.Equal(saved, text) {
		t.Error("the damaged file was not kept")
	}
	if report, err := journal.Check(dir); err != nil || report.Keys != 99 || !report.Closed {
		t.Errorf("the repaired store: %+v, %v", report, err)
	}
	ks = open(t, dir, journal.Options{})
	set(t, ks, 100, "2")
	shutdown(t, ks)
	if report, err := journal.Check(dir); err != nil || report.Keys != 100 {
		t.Errorf("the repaired store, written to: %+v, %v", report, err)
	}
}

// A repair finds losses if a start would refuse the store, and not otherwise.
func TestARepairFindsTheDamageThatAStartRefuses(t *testing.T) {
	first, second := "0000000001.log", "0000000002.log"
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		file   string // of the loss; "": the store is whole
	}{
		"killed": {func(*testing.T, string) {}, ""},
		"a torn end": {func(t *testing.T, dir string) {
			text := bytes.TrimRight(must(os.ReadFile(filepath.Join(dir, first))), "\x00")
			if err := os.Truncate(filepath.Join(dir, first), int64(len(text)-3)); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"the newest segment is missing": {func(t *testing.T, dir string) {
			shutdown(t, open(t, dir, journal.Options{}))
			last := filepath.Join(dir, "0000000003.log")
			if err := os.Remove(last); err != nil {
				t.Fatal(err)
			}
		}, "0000000003.log"},
		"a segment of another store": {func(t *testing.T, dir string) {
			shutdown(t, open(t, dir, journal.Options{}))
			other := t.TempDir()
			shutdown(t, open(t, other, journal.Options{}))
			if err := os.WriteFile(filepath.Join(dir, second), must(os.ReadFile(filepath.Join(other, second))), 0o600); err != nil {
				t.Fatal(err)
			}
		}, second},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ks := open(t, dir, journal.Options{})
			set(t, ks, 100, "1")
			killed := filepath.Join(t.TempDir(), "killed")
			if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			shutdown(t, ks)
			c.damage(t, killed)
			_, err := journal.Check(killed)
			if refused := err != nil; refused != (c.file != "") {
				t.Fatalf("Check: %v", err)
			}
			r, err := journal.PlanRepair(killed)
			if err != nil {
				t.Fatal(err)
			}
			if c.file == "" && len(r.Losses) > 0 {
				t.Errorf("losses of a store that is whole: %v", r.Losses)
			}
			if c.file != "" && (len(r.Losses) != 1 || r.Losses[0].File != filepath.Join(killed, c.file)) {
				t.Errorf("the losses are %v, want one of %s", r.Losses, c.file)
			}
			if _, err := r.Run(); err != nil {
				t.Fatal(err)
			}
			if report, err := journal.Check(killed); err != nil || report.Keys < 99 {
				t.Errorf("the repaired store: %+v, %v", report, err)
			}
		})
	}
}
