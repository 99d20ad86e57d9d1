package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A writer that is alone commits its write itself, if the commit before was brief. It leaves the rest
// to the committer.
func TestAWriterThatIsAloneNeedsNoCommitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		j := openWith(t, d, Options{})
		j.limits.segment = 2000
		if j.Brief() {
			t.Error("a commit is taken for brief before the first one")
		}
		if err := commit(j, "first"); err != nil {
			t.Fatal(err)
		}
		inTurn := func(look func() bool) bool {
			j.turn.take()
			defer j.turn.pass()
			return look()
		}
		reply := make(chan error)
		j.rotations <- reply // it holds the committer up until the reply is received
		synctest.Wait()
		written := 1
		for ; !inTurn(j.isFull); written++ {
			if !j.Brief() {
				t.Fatal("a commit is not taken for brief")
			}
			if err := commit(j, fmt.Sprint(written)); err != nil {
				t.Fatal(err)
			}
		}
		if s := j.active.Load(); s.durable.Load() != s.written.Load() {
			t.Error("a write that was answered is not durable")
		}
		time.Sleep(idleTime + time.Millisecond)
		synctest.Wait()
		if !inTurn(func() bool { return j.active.Load().marked }) {
			t.Error("there is no idle frame")
		}
		full := j.active.Load()
		answered := make(chan error, 1)
		go func() { answered <- commit(j, "last") }()
		synctest.Wait()
		if len(answered) > 0 {
			t.Error("a writer has begun a segment")
		}
		if err := <-reply; err != nil {
			t.Fatal(err)
		}
		if err := <-answered; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if j.active.Load() == full {
			t.Error("the full segment has no successor")
		}

		slow(d, 2*briefCommit)
		if err := commit(j, "slow"); err != nil || j.Brief() {
			t.Errorf("a slow commit is taken for brief, %v", err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if keys := keysOf(t, d); len(keys) != written+2 {
			t.Errorf("%d keys are there, want %d", len(keys), written+2)
		}
	})
}

// commitBriefly makes a first commit that is taken for brief.
func commitBriefly(t *testing.T, j *Journal) {
	t.Helper()
	if err := commit(j, "first"); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // the committer answers the writer before it passes its turn on
	if !j.Brief() {
		t.Fatal("a commit is not taken for brief")
	}
}

// No commit is taken for brief while another one is under way, a segment is begun, or the file is made
// durable: it would have to wait.
func TestACommitIsNotBriefWhileTheDiskIsBusy(t *testing.T) {
	for name, x := range map[string]struct {
		fsync time.Duration
		busy  func(j *Journal)
	}{
		"a commit":            {Always, func(j *Journal) { go func() { _ = commit(j, "k") }() }},
		"a segment":           {Always, func(j *Journal) { go func() { _ = j.requestRotation() }() }},
		"the interval's sync": {10 * time.Second, func(*Journal) { time.Sleep(10 * time.Second) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				j := openWith(t, d, Options{Fsync: x.fsync})
				commitBriefly(t, j)
				d.setFault(func(op, _ string) error {
					if op == "sync" {
						time.Sleep(time.Second)
					}
					return nil
				})
				x.busy(j)
				time.Sleep(100 * time.Millisecond)
				if j.Brief() {
					t.Error("a commit is taken for brief")
				}
			})
		})
	}
}

// A writer that commits its write itself is told if the disk fails, and so are those that wait for it.
func TestADiskThatFailsAWriterThatIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var failures []error
		j := openWith(t, d, Options{Observer: Observer{Failed: func(err error) { failures = append(failures, err) }}})
		commitBriefly(t, j)
		d.setFault(func(op, name string) error {
			if op == "sync" && strings.HasSuffix(name, segmentSuffix) {
				time.Sleep(time.Second)
				return syscall.EIO
			}
			return nil
		})
		var writing sync.WaitGroup
		for range 3 {
			writing.Go(func() {
				if err := commit(j, "k"); !errors.Is(err, syscall.EIO) {
					t.Errorf("a write was answered with %v", err)
				}
			})
		}
		writing.Wait()
		synctest.Wait()
		if len(failures) != 1 || j.Brief() {
			t.Errorf("the failures are %v; brief is %v", failures, j.Brief())
		}
	})
}
