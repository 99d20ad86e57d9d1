package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// A recorder keeps the versions that it was told of each key, 0 for none, and
// what each holds by them.
type recorder struct {
	mu       sync.Mutex
	versions map[string][]uint64
	values   map[string]string
	last     uint64 // Revision of the last update
}

func newRecorder() *recorder {
	return &recorder{versions: map[string][]uint64{}, values: map[string]string{}}
}

func (r *recorder) Deliver(u *keyspace.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.versions[u.Target.Name] = append(r.versions[u.Target.Name], u.Version)
	if u.Value == nil {
		delete(r.values, u.Target.Name)
	} else {
		r.values[u.Target.Name] = string(u.Value)
	}
	r.last = max(r.last, u.Revision())
}

// count returns how many versions the recorder was told.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sum(r.versions)
}

// A workload writes to keys at random, and remembers every write.
type workload struct {
	ks   *keyspace.Keyspace
	keys []string

	mu      sync.Mutex
	written map[string][]uint64 // versions, in order
}

func newWorkload(ks *keyspace.Keyspace, keys int) *workload {
	w := &workload{ks: ks, written: map[string][]uint64{}}
	for i := range keys {
		w.keys = append(w.keys, fmt.Sprintf("k/%d/%d", i%7, i))
	}
	return w
}

// run writes with several goroutines until the returned function is called.
// Each has keys of its own, so that it knows the order of their writes.
func (w *workload) run(t *testing.T, writers int) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for {
				select {
				case <-done:
					return
				default:
				}
				i := random.IntN(len(w.keys)/writers)*writers + n
				w.write(t, w.keys[i], random.IntN(4) == 0)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (w *workload) write(t *testing.T, key string, remove bool) {
	c := keyspace.Change{Value: []byte("1")}
	if remove {
		c = keyspace.Change{Delete: true}
	} else {
		c.Value = fmt.Append(nil, time.Now().UnixNano())
	}
	e, err := w.ks.Write(context.Background(), key, c)
	if errors.Is(err, keyspace.ErrNotFound) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[key] = append(w.written[key], e.Version)
}

// settle returns when all that was written has been told.
func (w *workload) settle(t *testing.T) {
	t.Helper()
	for _, key := range w.keys {
		if err := w.ks.GetInOrder(t.Context(), key, func(keyspace.Entry) {}); err != nil {
			t.Fatal(err)
		}
	}
}

// check compares what the recorder was told of each key from its first message
// on with what was written: no gap, none twice, no step back. Where the recorder
// knows nothing of a key there must be nothing.
func (w *workload) check(t *testing.T, r *recorder) {
	t.Helper()
	w.settle(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range w.keys {
		written, told := w.written[key], r.versions[key]
		if len(told) > len(written) {
			t.Fatalf("%s: told %d versions of %d", key, len(told), len(written))
		}
		rest := written[len(written)-len(told):]
		for i := range told {
			if told[i] != rest[i] {
				t.Fatalf("%s: told %d, want the last %d of %d", key, told, len(told), written)
			}
		}
	}
	w.compare(t, r.values)
}

func (w *workload) compare(t *testing.T, values map[string]string) {
	t.Helper()
	for _, key := range w.keys {
		e, err := w.ks.Get(key)
		value, ok := values[key]
		if errors.Is(err, keyspace.ErrNotFound) != !ok || ok && string(e.Value) != value {
			t.Fatalf("%s holds %q (%v), and the subscriber has %q (%v)", key, e.Value, err, value, ok)
		}
	}
}

// Snapshots of a pattern, while writers make, change and delete the keys.
func TestSnapshotsRaceWriters(t *testing.T) {
	ks := open(t, keyspace.Options{})
	w := newWorkload(ks, 2000)
	for _, key := range w.keys {
		w.write(t, key, false)
	}
	for round := range 30 {
		stop := w.run(t, 4)
		r := newRecorder()
		pattern := []string{"#", "k/#", "k/3/+"}[round%3]
		marks := 0
		err := ks.Subscribe(t.Context(), keyspace.Pattern(pattern), r, keyspace.Start{
			Snapshot: true, Each: r.Deliver, Mark: func(keyspace.Mark) { marks++ },
		})
		if err != nil || marks != 1 {
			t.Fatalf("SubscribePattern: %v, %d marks", err, marks)
		}
		stop()
		if pattern == "k/3/+" {
			part := &workload{ks: ks, written: w.written}
			for _, key := range w.keys {
				if keyspace.Matches(pattern, key) {
					part.keys = append(part.keys, key)
				}
			}
			part.check(t, r)
			if len(r.versions) > len(part.keys) {
				t.Fatalf("told of %d keys, %d match", len(r.versions), len(part.keys))
			}
		} else {
			w.check(t, r)
		}
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern(pattern), r); err != nil {
			t.Fatal(err)
		}
	}
}

// A subscriber that loses its place again and again under load, and resumes
// each time with the last revision that it was promised, ends with exactly
// what the keyspace holds, and has missed no write that is newer than what it
// came with. Half of the revisions are those of marks, half of updates.
func TestResumingMissesNothing(t *testing.T) {
	ks := open(t, keyspace.Options{})
	w := newWorkload(ks, 500)
	stop := w.run(t, 8)
	values := map[string]string{}
	seen := map[string]uint64{} // the last version of each key
	since, resumed := uint64(0), 0
	for round := range 201 {
		if round == 200 {
			stop()
			w.settle(t)
		}
		r := newRecorder()
		r.values = values
		var mark keyspace.Mark
		err := ks.Subscribe(t.Context(), keyspace.Pattern("k/#"), r, keyspace.Start{
			Resume: round > 0, Snapshot: true, Since: since, Each: r.Deliver,
			Mark: func(m keyspace.Mark) {
				mark = m
				r.mu.Lock()
				defer r.mu.Unlock()
				r.last = m.Revision
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if mark.Reset {
			t.Fatalf("round %d: reset, with %d as since", round, since)
		}
		if round%3 == 0 && round < 200 { // it stays until something more was told
			for told := r.count(); r.count() == told; {
				runtime.Gosched()
			}
		}
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern("k/#"), r); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		for key, versions := range r.versions {
			for _, v := range versions {
				if v < seen[key] {
					t.Fatalf("round %d: %s went back from %d to %d", round, key, seen[key], v)
				}
				seen[key] = v
				if v > since {
					resumed++
				}
			}
		}
		if since = mark.Revision; round%2 == 0 {
			since = max(since, r.last)
		}
		r.mu.Unlock()
	}
	w.compare(t, values)
	t.Logf("%d writes, of which over 200 reconnects the subscriber was told %d", sum(w.written), resumed)
}

func sum(written map[string][]uint64) (n int) {
	for _, versions := range written {
		n += len(versions)
	}
	return n
}

// A write that hangs in the store holds back what is promised, and nothing
// else: others are told meanwhile, and who resumes is told them again.
func TestTheRevisionWaitsForWritesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		store := &lateStore{Store: keyspace.NewMemory(1), late: map[string]chan struct{}{"slow": hang}}
		ks := open(t, keyspace.Options{Store: store})
		mustSet(t, ks, "a", "1") // version 1
		done := make(chan uint64)
		go func() {
			v, err := ks.Set(context.Background(), "slow", []byte("2"))
			if err != nil {
				t.Error(err)
			}
			done <- v
		}()
		synctest.Wait() // it has version 2, and is not told
		if v := mustSet(t, ks, "b", "3"); v != 3 {
			t.Fatalf("version %d, want 3", v)
		}
		r := newRecorder()
		subscribeAll := func(since uint64) (m keyspace.Mark) {
			t.Helper()
			err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
				Resume: true, Since: since, Each: r.Deliver, Mark: func(mark keyspace.Mark) { m = mark },
			})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		if m := subscribeAll(0); m != (keyspace.Mark{Revision: 1}) {
			t.Errorf("mark %+v, want revision 1: 2 is in flight", m)
		}
		mustSet(t, ks, "b", "4")
		synctest.Wait()
		if r.last != 1 {
			t.Errorf("an update's revision is %d, want 1: 2 is in flight", r.last)
		}
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r); err != nil {
			t.Fatal(err)
		}
		close(hang)
		if v := <-done; v != 2 {
			t.Errorf("version %d, want 2", v)
		}
		if m := subscribeAll(1); m != (keyspace.Mark{Revision: 4}) || fmt.Sprint(r.versions["slow"]) != "[2]" {
			t.Errorf("mark %+v and %v of what hung, want revision 4 and [2]", m, r.versions["slow"])
		}
	})
}

// lateStore holds back what was committed to some keys, when it has a version.
type lateStore struct {
	keyspace.Store
	late map[string]chan struct{}
}

func (s *lateStore) Commit(ctx context.Context, writes []keyspace.Write) error {
	err := s.Store.Commit(ctx, writes)
	if hang := s.late[writes[0].Key]; hang != nil {
		<-hang
	}
	return err
}

func TestSinceWhenIsKnown(t *testing.T) {
	ks := open(t, keyspace.Options{Store: keyspace.NewMemory(100)})
	resume := func(since uint64, pattern bool) (got string) {
		t.Helper()
		r := newRecorder()
		var all []string
		start := keyspace.Start{
			Resume: true, Since: since,
			Each: func(u *keyspace.Update) { all = append(all, string(encode(u))) },
			Mark: func(m keyspace.Mark) { all = append(all, fmt.Sprint(m.Reset)) },
		}
		var err error
		if pattern {
			err = ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, start)
		} else {
			err = ks.Subscribe(t.Context(), keyspace.Key("a"), r, start)
		}
		if err := errors.Join(err, ks.Unsubscribe(t.Context(), keyspace.Key("a"), r), ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r)); err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, " ")
	}
	a1, a2, deleted := `{"key":"a","value":1}`, `{"key":"a","value":2}`, `{"key":"a","value":null,"deleted":true}`
	both := func(since uint64, want string) {
		t.Helper()
		for _, pattern := range []bool{false, true} {
			if got := resume(since, pattern); got != want {
				t.Errorf("since %d, pattern %v: %s, want %s", since, pattern, got, want)
			}
		}
	}
	both(99, "false") // what the first start of a fresh keyspace is promised
	both(98, "true")  // before a restart, for all that is known
	both(100, "true") // from the future
	mustSet(t, ks, "a", "1")
	both(99, a1+" false")
	both(100, "false")
	both(98, a1+" true")
	both(101, a1+" true")
	if _, err := ks.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	both(100, deleted+" false")
	both(101, "false")
	both(98, "true")
	mustSet(t, ks, "a", "2") // version 102: the delete is of no interest any more
	both(99, a2+" false")
	both(101, a2+" false")
	both(102, "false")
}

// The newest deletes are remembered, and who comes with something older is
// told all, and told so.
func TestDeletesAreForgottenInTheEnd(t *testing.T) {
	ks := open(t, keyspace.Options{Store: keyspace.NewMemory(1)})
	mustSet(t, ks, "stays", "1")
	for i := range keyspace.RememberedDeletes + 1 {
		key := fmt.Sprint("gone/", i)
		mustSet(t, ks, key, "1")
		if _, err := ks.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if err := ks.GetInOrder(t.Context(), key, func(keyspace.Entry) {}); err != nil { // it has been told
			t.Fatal(err)
		}
	}
	first := uint64(3) // the first delete's version
	resume := func(since uint64) (told int, m keyspace.Mark) {
		t.Helper()
		r := newRecorder()
		err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
			Resume: true, Since: since, Each: func(*keyspace.Update) { told++ }, Mark: func(mark keyspace.Mark) { m = mark },
		})
		if err := errors.Join(err, ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), r)); err != nil {
			t.Fatal(err)
		}
		return told, m
	}
	if told, m := resume(first - 1); told != 1 || !m.Reset {
		t.Errorf("since before the delete that was forgotten: told %d, %+v; want the one key and a reset", told, m)
	}
	if told, m := resume(first); told != keyspace.RememberedDeletes || m.Reset {
		t.Errorf("since that delete: told %d, %+v; want the others", told, m)
	}
	var m keyspace.Mark
	r := newRecorder()
	start := keyspace.Start{Resume: true, Since: first - 1, Each: r.Deliver, Mark: func(mark keyspace.Mark) { m = mark }}
	if err := ks.Subscribe(t.Context(), keyspace.Key("stays"), r, start); err != nil || !m.Reset || len(r.versions) != 1 {
		t.Errorf("a key, since before that delete: %v, %+v, told %v", err, m, r.versions)
	}
}

// A subscriber that lets one key wait does not keep others from it.
func TestRoomEndsASnapshot(t *testing.T) {
	ks := open(t, keyspace.Options{})
	for i := range 10 {
		mustSet(t, ks, fmt.Sprint(i), "1")
	}
	r, full := newRecorder(), errors.New("full")
	asked := 0
	err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), r, keyspace.Start{
		Snapshot: true, Each: r.Deliver,
		Throttle: func() error {
			if asked++; asked > 3 {
				return full
			}
			return nil
		},
		Mark: func(keyspace.Mark) { t.Error("a snapshot that was cut short has a mark") },
	})
	if !errors.Is(err, full) || len(r.values) != 3 {
		t.Errorf("%v after %d keys, want the error of Room after 3", err, len(r.values))
	}
}
