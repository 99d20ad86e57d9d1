package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// commit commits one write.
func commit(j *Journal, key string) error {
	return j.Commit(context.Background(), []keyspace.Record{{Key: key, Value: []byte(key), Written: 1}})
}

// openWith opens a store with options. It is closed at the end of the test.
func openWith(t *testing.T, d *disk, o Options) *Journal {
	t.Helper()
	j, err := open(d.start(), "/data", o)
	if err == nil {
		j.limits = limits{segment: 1 << 20, snapshot: 1 << 30, step: 1000}
		_, err = j.Load(new(sharedContents))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// sharedContents are contents that several goroutines use.
type sharedContents struct {
	mu sync.Mutex
	contents
}

func (c *sharedContents) Apply(w *keyspace.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.contents.Apply(w)
}

func (c *sharedContents) Snapshot(yield func(*keyspace.Record) bool) (forgotten uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.contents.Snapshot(yield)
}

// keysOf opens the store that is on a disk, and returns its keys.
func keysOf(t *testing.T, d *disk) []string {
	t.Helper()
	d.setFault(nil)
	j, state, _, err := load(d, Always, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	return slices.Sorted(maps.Keys(state.keys))
}

// once returns a fault that fails one operation with err, after arm was called.
func once(op, suffix string, err error) (fault func(op, name string) error, arm func(), times *atomic.Int32) {
	var armed, failed atomic.Bool
	times = new(atomic.Int32)
	return func(o, name string) error {
		if o != op || !strings.HasSuffix(name, suffix) || !armed.Load() {
			return nil
		}
		times.Add(1)
		if failed.Swap(true) {
			return nil // it would succeed now
		}
		return err
	}, func() { armed.Store(true) }, times
}

// If the log cannot be written, all writers of the group get an error, and all later ones.
// The operation is not tried again.
func TestFailureOfTheLog(t *testing.T) {
	for _, c := range []struct {
		op, suffix string
		err        error
		interval   time.Duration
		rotates    bool // the operation begins a segment
	}{
		{"write", ".log", syscall.EIO, Always, false},
		{"write", ".log", shortWrite(40), Always, false},
		{"write", ".log", syscall.ENOSPC, time.Second, false},
		{"sync", ".log", syscall.EIO, Always, false},
		{"sync", ".log", syscall.EIO, time.Second, false},
		{"create", ".log.tmp", syscall.ENOSPC, Always, true},
		{"write", ".log.tmp", shortWrite(10), Always, true},
		{"sync", ".log.tmp", syscall.EIO, Always, true},
		{"rename", ".log", syscall.EIO, Always, true},
		{"sync directory", "", syscall.EIO, Always, true},
		{"write", ".log", syscall.EIO, Always, true}, // the seal
		{"reopen", ".log", syscall.EMFILE, Always, true},
	} {
		t.Run(fmt.Sprintf("%s %s %v %s", c.op, c.suffix, c.err, c.interval), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				fault, arm, times := once(c.op, c.suffix, c.err)
				d.setFault(fault)
				failures := 0
				j := openWith(t, d, Options{Fsync: c.interval, Observer: Observer{Failed: func(err error) { failures++ }}})
				if err := commit(j, "before"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2500 * time.Millisecond)
				arm()
				if c.rotates {
					if err := j.requestRotation(); err == nil {
						t.Error("the rotation has not failed")
					}
				} else {
					answered := c.interval != Always && c.op == "sync" // the sync comes later
					var writing sync.WaitGroup
					for n := range 5 {
						writing.Go(func() {
							if err := commit(j, fmt.Sprint("during", n)); (err == nil) != answered {
								t.Errorf("a write: %v", err)
							}
						})
					}
					writing.Wait()
					time.Sleep(2 * time.Second)
				}
				before := d.begun()
				if err := commit(j, "after"); err == nil || errors.Is(err, ErrClosed) {
					t.Errorf("a later write: %v", err)
				}
				if err := j.Close(); err == nil {
					t.Error("Close says that all is well")
				}
				if failures != 1 || times.Load() != 1 || d.begun() != before {
					t.Errorf("%d failures; tried %d times, and %d operations after that", failures, times.Load(), d.begun()-before)
				}
				keys := keysOf(t, d)
				if slices.Contains(keys, "after") || !slices.Contains(keys, "before") {
					t.Errorf("after a restart there are %v", keys)
				}
			})
		})
	}
}

// A snapshot that fails harms nothing, and is tried again.
func TestFailureOfASnapshot(t *testing.T) {
	for _, c := range []struct {
		op, suffix string
		err        error
	}{
		{"create", ".snapshot.tmp", syscall.ENOSPC},
		{"write", ".snapshot.tmp", syscall.ENOSPC},
		{"write", ".snapshot.tmp", shortWrite(3)},
		{"sync", ".snapshot.tmp", syscall.EIO},
		{"rename", ".snapshot", syscall.EIO},
		{"sync directory", "", syscall.EIO},
	} {
		t.Run(fmt.Sprintf("%s %s %v", c.op, c.suffix, c.err), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				fault, arm, _ := once(c.op, c.suffix, c.err)
				d.setFault(func(op, name string) error {
					if c.op != "sync directory" || op == "rename" && strings.HasSuffix(name, ".snapshot") {
						arm()
					}
					return fault(op, name)
				})
				results := make(chan error, 10)
				j := openWith(t, d, Options{Observer: Observer{
					Snapshot: func(_ int64, _ time.Duration, err error) { results <- err },
					Failed:   func(err error) { t.Error(err) },
				}})
				j.limits.snapshot = 1000
				for n := range 20 {
					w := []keyspace.Record{{Key: fmt.Sprintf("%02d", n), Value: make([]byte, 100)}}
					if err := j.Commit(context.Background(), w); err != nil {
						t.Fatal(err)
					}
					_ = j.state.Apply(&w[0])
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				for name := range d.files() {
					if strings.Contains(name, snapshotSuffix) {
						t.Errorf("%s stays", name)
					}
				}
				if err := <-results; err == nil || len(results) > 0 {
					t.Fatalf("a snapshot: %v, and %d others", err, len(results))
				}
				time.Sleep(snapshotRetry)
				synctest.Wait()
				if err := <-results; err != nil || len(results) > 0 {
					t.Fatalf("a snapshot: %v, and %d others", err, len(results))
				}
				if n := len(d.files()); n != 3 {
					t.Errorf("%d files", n)
				}
				if err := j.Close(); err != nil {
					t.Error(err)
				}
				if keys := keysOf(t, d); len(keys) != 20 {
					t.Errorf("after a restart there are %v", keys)
				}
			})
		})
	}
}

// slow makes each sync of the log take some time.
func slow(d *disk, took time.Duration) {
	d.setFault(func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, segmentSuffix) {
			time.Sleep(took)
		}
		return nil
	})
}

// While a group is made durable, the next one gathers. A writer waits for the sync that
// runs, and for its own.
func TestSlowSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var groups []int
		j := openWith(t, d, Options{Observer: Observer{Group: func(g Group) { groups = append(groups, g.Writes) }}})
		slow(d, 100*time.Millisecond)
		began := time.Now()
		var writing sync.WaitGroup
		for _, w := range []struct{ at, answered time.Duration }{{0, 100}, {10, 200}, {20, 200}, {99, 200}, {150, 300}, {199, 300}} {
			writing.Go(func() {
				time.Sleep(w.at * time.Millisecond)
				if err := commit(j, "k"); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != w.answered*time.Millisecond {
					t.Errorf("the write at %d ms was answered after %s, want %d ms", w.at, took, w.answered)
				}
			})
		}
		writing.Wait()
		synctest.Wait()
		if !slices.Equal(groups, []int{1, 3, 2}) {
			t.Errorf("groups of %d", groups)
		}
	})
}

// Close commits the writes that wait.
func TestCloseWithWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		j := openWith(t, d, Options{})
		slow(d, 100*time.Millisecond)
		var writing sync.WaitGroup
		for n := range 4 {
			writing.Go(func() {
				time.Sleep(time.Duration(n) * 10 * time.Millisecond)
				if err := commit(j, fmt.Sprint(n)); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		writing.Wait()
		if err := commit(j, "after"); err != ErrClosed {
			t.Errorf("a write after Close: %v", err)
		}
		if err := j.requestRotation(); err != errClosing {
			t.Errorf("a rotation after Close: %v", err)
		}
		if keys := keysOf(t, d); len(keys) != 4 {
			t.Errorf("there are %v", keys)
		}
	})
}

// A writer that gives up harms no other one.
func TestAWriterThatGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		j := openWith(t, d, Options{})
		slow(d, 100*time.Millisecond)
		cause := errors.New("a cause")
		ctx, cancel := context.WithCancelCause(context.Background())
		var writing sync.WaitGroup
		for n := range 6 {
			writing.Go(func() {
				key := fmt.Sprint(n)
				if n%2 == 0 {
					if err := commit(j, key); err != nil {
						t.Error(err)
					}
				} else if err := j.Commit(ctx, []keyspace.Record{{Key: key, Value: []byte(key)}}); err != cause {
					t.Errorf("the writer that gives up: %v", err)
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		cancel(cause)
		writing.Wait()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if keys := keysOf(t, d); len(keys) < 3 {
			t.Errorf("there are %v", keys)
		}
	})
}

func TestCloseDuringASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var failed error
		j := openWith(t, d, Options{Observer: Observer{Snapshot: func(_ int64, _ time.Duration, err error) { failed = err }}})
		j.limits = limits{segment: 64 << 20, snapshot: 5 << 20, step: 1000}
		for n := range 12 {
			w := []keyspace.Record{{Key: fmt.Sprintf("%02d", n), Value: make([]byte, 1<<20)}}
			if err := j.Commit(context.Background(), w); err != nil {
				t.Fatal(err)
			}
			_ = j.state.Apply(&w[0])
		}
		d.setFault(func(op, name string) error {
			if op == "sync" && strings.HasSuffix(name, ".snapshot.tmp") {
				time.Sleep(time.Second)
			}
			return nil
		})
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait() // the snapshot is being written
		began := time.Now()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took == 0 || took > time.Second {
			t.Errorf("Close took %s", took)
		}
		if failed != nil {
			t.Error(failed)
		}
		for name := range d.files() {
			if strings.Contains(name, snapshotSuffix) {
				t.Errorf("%s stays", name)
			}
		}
		if keys := keysOf(t, d); len(keys) != 12 {
			t.Errorf("there are %v", keys)
		}
	})
}

// Close after a Load that failed changes nothing.
func TestCloseAfterAFailedLoad(t *testing.T) {
	s := newSample(t, closed)
	for _, name := range append(slices.Sorted(maps.Keys(s.files)), "") {
		d := diskOf(s.files)
		damaged := name != ""
		if damaged {
			d.entries[name].data[80] ^= 1
		} else {
			fault, arm, _ := once("rename", segmentSuffix, syscall.EIO) // the new segment cannot be begun
			arm()
			d.setFault(fault)
		}
		j, _, _, err := load(d, Always, 1)
		if err == nil {
			t.Fatalf("%q: it was opened", name)
		}
		if j != nil || strings.Contains(err.Error(), "close") {
			t.Errorf("%q: %v", name, err)
		}
		if !damaged {
			if keys := keysOf(t, d); len(keys) != len(s.keys) {
				t.Errorf("there are %v", keys)
			}
		}
	}
}

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.setRoom(1000)
		var told []bool
		j := openWith(t, d, Options{Reserve: 1000, Observer: Observer{Room: func(_ int64, refusing bool) { told = append(told, refusing) }}})
		for _, c := range []struct {
			room     int64
			refusing bool
		}{{1000, false}, {999, true}, {10, true}, {1001, false}, {0, true}, {5000, false}} {
			d.setRoom(c.room)
			time.Sleep(lookInterval + time.Millisecond)
			synctest.Wait()
			err := j.Room()
			if (err != nil) != c.refusing || err != nil && !errors.Is(err, keyspace.ErrInsufficientStorage) {
				t.Errorf("%d bytes are free: %v", c.room, err)
			}
			if u := j.Usage(); u.Free != c.room || u.Segments != 1 || u.Used <= 0 {
				t.Errorf("usage %+v", u)
			}
			if err := commit(j, "a delete, or a value that was accepted before"); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(told, []bool{true, false, true, false}) {
			t.Errorf("told %v", told)
		}
	})
}

// A clean stop needs no reset of the clients, even if writes were not durable at once and
// the operating system was restarted.
func TestACleanStopForgetsNothing(t *testing.T) {
	for _, interval := range []time.Duration{Always, time.Second, Never} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			var last, forgotten uint64
			for boot := range byte(4) {
				j, _, history, err := load(d, interval, boot) // 0: not known
				if err != nil {
					t.Fatal(err)
				}
				if boot > 0 && (history.Last != last || history.Forgotten != forgotten) {
					t.Errorf("%s, start %d: %+v, want %d and %d", interval, boot, history, last, forgotten)
				}
				forgotten = history.Forgotten
				if err := commit(j, "k"); err != nil {
					t.Error(err)
				}
				last = j.next - 1
				if err := j.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// With Always, nobody sees a write before it is durable.
func TestNothingIsVisibleBeforeItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		j, err := open(d.start(), "/data", Options{})
		if err != nil {
			t.Fatal(err)
		}
		ks, err := keyspace.Open(keyspace.Options{Store: j})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		s := &script{visible: map[uint64]seen{}}
		if err := ks.Subscribe(ctx, keyspace.Pattern("#"), s, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		if err := ks.Subscribe(ctx, keyspace.Key("k"), s, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		look := func() string {
			e, err := ks.Get("k")
			page, listErr := ks.List(ctx, keyspace.Query{Pattern: "#", Limit: 10})
			return fmt.Sprint(string(e.Value), e.Version, e.TTL > 0, err, len(page.Entries), listErr, ks.Revision(), len(s.visible))
		}
		gate := make(chan struct{})
		d.setFault(func(op, name string) error {
			if op == "sync" && strings.HasSuffix(name, segmentSuffix) {
				<-gate
			}
			return nil
		})
		for _, c := range []keyspace.Change{
			{Value: []byte("1")}, {Value: []byte("2")}, {Touch: true, TTL: time.Hour}, {Delete: true}, {Value: []byte("3"), TTL: time.Hour},
		} {
			before := look()
			done := false
			go func() {
				if _, err := ks.Write(ctx, "k", c); err != nil {
					t.Error(err)
				}
				done = true
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
			if now := look(); done || now != before {
				t.Errorf("%+v: not durable, but visible: %s, and was %s", c, now, before)
			}
			gate <- struct{}{}
			synctest.Wait()
			if now := look(); !done || now == before {
				t.Errorf("%+v: durable, but not visible: %s", c, now)
			}
		}
		close(gate)
		if err := ks.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}
