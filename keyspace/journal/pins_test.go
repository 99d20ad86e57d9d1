package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"rtdb/keyspace"
)

// A slowReader of a backup lets many snapshots be written meanwhile.
type slowReader struct {
	during func()
	begun  bool
}

func (r *slowReader) Write(p []byte) (int, error) {
	if !r.begun {
		r.begun = true
		r.during()
	}
	return len(p), nil
}

// A backup keeps the files that it copies, and no others.
func TestABackupKeepsOnlyItsFiles(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: j})
	if err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		infos, err := j.directory.list()
		if err != nil {
			t.Fatal(err)
		}
		return len(infos)
	}
	snapshot := func() {
		if _, err := ks.Set(ctx, "k", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if _, err := j.writeSnapshot(); err != nil {
			t.Fatal(err)
		}
	}
	snapshot()
	few := count()
	err = j.Backup(ctx, &slowReader{during: func() {
		for range 20 {
			snapshot()
		}
		if n := count(); n > 2*few {
			t.Errorf("%d files while a backup is read, %d before", n, few)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(); n != few {
		t.Errorf("%d files after the backup, %d before", n, few)
	}
	if err := ks.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// Check changes nothing, and needs no right to write.
func TestCheckChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Check(dir); !errors.As(err, new(*ForeignError)) {
		t.Errorf("an empty directory: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: j})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Check(dir); !errors.As(err, new(*LockedError)) {
		t.Errorf("while a server runs: %v", err)
	}
	if err := ks.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, lockName), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(dir); err != nil {
		t.Errorf("with a lock file that cannot be written: %v", err)
	}
}

// After a store without Always has failed, clients are reset, because writes that they have
// seen may be lost.
func TestClientsAreResetAfterAFailure(t *testing.T) {
	for _, fsync := range []struct {
		name  string
		j     Options
		reset bool
	}{{"always", Options{}, false}, {"never", Options{Fsync: Never}, true}} {
		dir, ctx := t.TempDir(), context.Background()
		j, err := Open(dir, fsync.j)
		if err != nil {
			t.Fatal(err)
		}
		ks, err := keyspace.Open(keyspace.Options{Store: j})
		if err != nil {
			t.Fatal(err)
		}
		version, err := ks.Set(ctx, "k", []byte("1"))
		if err != nil {
			t.Fatal(err)
		}
		j.fail(errors.New("the disk has failed"))
		if err := ks.Shutdown(ctx); err == nil {
			t.Error("a failed store was closed without an error")
		}
		for restart := range 2 {
			if j, err = Open(dir, fsync.j); err != nil {
				t.Fatal(err)
			}
			if ks, err = keyspace.Open(keyspace.Options{Store: j}); err != nil {
				t.Fatal(err)
			}
			var mark keyspace.Mark
			start := keyspace.Start{Resume: true, Since: version, Epoch: ks.Epoch(), Each: func(*keyspace.Update) {}, Mark: func(m keyspace.Mark) { mark = m }}
			if err := ks.Subscribe(ctx, keyspace.Key("k"), &script{visible: map[uint64]seen{}}, start); err != nil {
				t.Fatal(err)
			}
			if mark.Reset != (fsync.reset && restart == 0) {
				t.Errorf("%s, start %d: reset %v", fsync.name, restart, mark.Reset)
			}
			version = mark.Revision
			if err := ks.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}
