package journal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"rtdb/keyspace"
)

// makeStore makes a store of 40 keys in three segments or more, and closes it.
func makeStore(t *testing.T, dir string) (backup []byte) {
	t.Helper()
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	j.limits.segment = 2000
	if _, err := j.Load(&contents{}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		w := []keyspace.Record{{Key: fmt.Sprint("k/", i), Value: bytes.Repeat([]byte("v"), 100), Written: 1}}
		if err := j.Commit(context.Background(), w); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := j.Backup(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every store that a start refuses can be repaired, also if no frame is lost.
func TestRepairFindsWhatAStartRefuses(t *testing.T) {
	first, second := segmentName(1), segmentName(2)
	for name, harm := range map[string]func(d osDirectory, newest string) error{
		"the newest segment is missing": func(d osDirectory, newest string) error { return d.remove(newest) },
		"a seal is missing":             func(d osDirectory, _ string) error { return shorten(d.path(first), frameHeaderSize) },
		"an older copy of a segment":    func(d osDirectory, _ string) error { return os.Truncate(d.path(second), headerSize) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			makeStore(t, dir)
			segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
			if err != nil || len(segments) < 3 {
				t.Fatal(segments, err)
			}
			if err := harm(osDirectory(dir), filepath.Base(segments[len(segments)-1])); err != nil {
				t.Fatal(err)
			}
			repairStore(t, dir)
		})
	}
}

func shorten(path string, by int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()-by)
}

// repairStore repairs a store that is damaged.
func repairStore(t *testing.T, dir string) {
	t.Helper()
	if _, err := Check(dir); err == nil {
		t.Fatal("the store is whole")
	}
	r, err := PlanRepair(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Losses) == 0 && !r.Resumes {
		t.Fatal("the plan has no loss")
	}
	kept, err := r.Run()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(kept, segmentName(1))); err != nil {
		t.Error(err)
	}
	if report, err := Check(dir); err != nil || report.Keys == 0 {
		t.Errorf("after the repair: %+v, %v", report, err)
	}
}

// The zeros and the half frame at the end of a store that was killed are no damage.
func TestRepairLeavesAStoreThatWasKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	makeStore(t, dir)
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	f := must(os.OpenFile(segments[len(segments)-1], os.O_WRONLY|os.O_APPEND, 0))
	must(f.Write(append([]byte("half a frame"), make([]byte, 4096)...)))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := PlanRepair(dir); err != nil || len(r.Losses) > 0 {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := Check(dir); err != nil || r.Closed || r.Torn != int64(len("half a frame")) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A repair that is interrupted between any two of its steps is completed by the next one.
func TestRepairIsInterrupted(t *testing.T) {
	for step := range 6 {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			d := osDirectory(filepath.Join(t.TempDir(), "store"))
			makeStore(t, string(d))
			b := must(readFile(d, segmentName(1)))
			b[300] ^= 1
			if err := os.WriteFile(d.path(segmentName(1)), b, fileMode); err != nil {
				t.Fatal(err)
			}
			r := must(PlanRepair(string(d)))
			if err := r.build(); err != nil {
				t.Fatal(err)
			}
			if step > 0 {
				if step == 1 { // some of the damaged files are moved
					kept := osDirectory(d.path("damaged-20060102T150405Z"))
					if err := os.Mkdir(string(kept), 0o750); err != nil {
						t.Fatal(err)
					}
					if err := os.Rename(d.path(segmentName(1)), kept.path(segmentName(1))); err != nil {
						t.Fatal(err)
					}
				} else if err := r.moveDamaged(d); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{segmentName(1), snapshotName(1), identityName}[:max(step-2, 0)] {
				if err := os.Rename(filepath.Join(d.path(repairedName), name), d.path(name)); err != nil {
					t.Fatal(err)
				}
			}
			r = must(PlanRepair(string(d)))
			if !r.Resumes {
				t.Fatal("the repair does not go on")
			}
			kept := must(r.Run())
			if _, err := os.Stat(kept); err != nil || kept == string(d) {
				t.Error(kept, err)
			}
			if report, err := Check(string(d)); err != nil || report.Keys != 39 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// A restore that is killed leaves a directory that no server starts with, and never the
// history of the store that was copied.
func TestRestoreIsKilled(t *testing.T) {
	archive := makeStore(t, filepath.Join(t.TempDir(), "store"))
	for at := 0; at < len(archive); at += 1900 {
		dir := filepath.Join(t.TempDir(), "restored")
		killed := filepath.Join(t.TempDir(), "killed")
		n := 0
		_, err := Restore(dir, readerFunc(func(b []byte) (int, error) {
			if n >= at {
				if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				return 0, io.ErrUnexpectedEOF
			}
			c := copy(b[:min(len(b), at-n)], archive[n:])
			n += c
			return c, nil
		}))
		if err == nil {
			break // the rest is the end of the archive
		}
		if j, err := Open(killed, Options{}); err == nil {
			_ = j.Close()
			t.Fatalf("after %d of %d bytes a server starts", at, len(archive))
		}
		if left := must(osDirectory(dir).list()); len(left) != 1 { // the lock
			t.Fatalf("after %d bytes the restore leaves %v", at, left)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
