package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
)

// A sharedStore calls functions around the methods of another store.
type sharedStore struct {
	keyspace.SharedStore
	commit    func(writes []keyspace.Record) // before a commit
	committed func(writes []keyspace.Record, err error)
	loading   func(keyspace.State)
	closing   func()
}

func (s *sharedStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	if s.commit != nil {
		s.commit(writes)
	}
	err := s.SharedStore.Commit(ctx, writes)
	if s.committed != nil {
		s.committed(writes, err)
	}
	return err
}

func (s *sharedStore) Load(state keyspace.State) (keyspace.History, error) {
	if s.loading != nil {
		s.loading(state)
	}
	return s.SharedStore.Load(state)
}

func (s *sharedStore) Close() error {
	if s.closing != nil {
		s.closing()
	}
	return s.SharedStore.Close()
}

// countConflicts returns a store that counts conflicts.
func countConflicts(store keyspace.SharedStore) (s *sharedStore, conflicts *atomic.Int64) {
	conflicts = new(atomic.Int64)
	return &sharedStore{SharedStore: store, committed: func(_ []keyspace.Record, err error) {
		if conflict := (*keyspace.ConflictError)(nil); errors.As(err, &conflict) {
			conflicts.Add(1)
		}
	}}, conflicts
}

// settleDown waits until the feeds have passed everything.
func settleDown() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func appendTo(id string) keyspace.Change {
	return keyspace.Change{Merge: func(old []byte) ([]byte, error) { return append(slices.Clone(old), id...), nil }}
}

// Whatever becomes of the answers, a write that was answered was made once, and another one
// at most once. All subscribers see the same.
func TestUnknownOutcomes(t *testing.T) {
	for _, newest := range []bool{false, true} {
		t.Run(fmt.Sprint("newest ", newest), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := storetest.NewHub(storetest.HubOptions{
					Delay:   func() time.Duration { return rand.N(5 * time.Millisecond) },
					Outcome: func() storetest.Outcome { return max(0, storetest.Outcome(rand.IntN(8)-4)) },
					Echo:    newest, Newest: newest,
				})
				a, _ := openOn(t, hub)
				b, _ := openOn(t, hub)
				var inA, inB inbox
				mustSubscribe(t, a, keyspace.Pattern("#"), &inA)
				mustSubscribe(t, b, keyspace.Pattern("#"), &inB)
				var answered, unknown atomic.Int64
				var mu sync.Mutex
				known := map[string]bool{}
				var writing sync.WaitGroup
				for i := range 6 {
					writing.Go(func() {
						for n := range 60 {
							id := fmt.Sprintf("[%d.%d]", i, n)
							_, err := []*keyspace.Keyspace{a, b}[i%2].Write(t.Context(), "k", appendTo(id))
							switch {
							case err == nil:
								answered.Add(1)
							case errors.Is(err, keyspace.ErrUnknownOutcome) && errors.Is(err, keyspace.ErrUnavailable):
								unknown.Add(1)
							default:
								t.Errorf("write: %v", err)
							}
							mu.Lock()
							known[id] = err == nil
							mu.Unlock()
						}
					})
				}
				writing.Wait()
				settleDown()
				e, err := a.Get("k")
				if err != nil {
					t.Fatal(err)
				}
				wantValue(t, b, "k", string(e.Value))
				made := map[string]int{}
				for _, id := range strings.SplitAfter(string(e.Value), "]") {
					made[id]++
				}
				for id, wasAnswered := range known {
					if n := made[id]; n > 1 || wasAnswered && n == 0 {
						t.Errorf("%s was made %d times, and answered: %v", id, n, wasAnswered)
					}
				}
				if answered.Load() == 0 || unknown.Load() == 0 {
					t.Errorf("%d writes were answered, and %d not", answered.Load(), unknown.Load())
				}
				wantRising(t, &inA)
				wantRising(t, &inB)
				if !newest && !slices.Equal(inA.messages(), inB.messages()) {
					t.Errorf("the subscribers received %d and %d updates, want the same", len(inA.messages()), len(inB.messages()))
				}
				wantQuiet(t, a)
				wantQuiet(t, b)
			})
		})
	}
}

// wantRising requires that the versions of each key rise, and the revisions of all updates
// never fall.
func wantRising(t *testing.T, in *inbox) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	last := map[string]uint64{}
	for _, u := range in.updates {
		if u.Version <= last[u.Target.Name] {
			t.Errorf("version %d of %s was delivered after %d", u.Version, u.Target.Name, last[u.Target.Name])
		}
		last[u.Target.Name] = u.Version
	}
}

// wantQuiet requires that nothing waits, and that nothing is in flight.
func wantQuiet(t *testing.T, ks *keyspace.Keyspace) {
	t.Helper()
	if n := ks.Waiting(); n != 0 {
		t.Errorf("records of %d keys wait", n)
	}
	if n := ks.InFlight(); n != 0 {
		t.Errorf("%d runs are in flight", n)
	}
}

// A record that means nothing to a keyspace stands in the way of no write.
func TestRecordsThatMeanNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{Delay: func() time.Duration { return rand.N(time.Millisecond) }})
		a, _ := openOn(t, hub)
		b, _ := openOn(t, hub)
		var in inbox
		mustSubscribe(t, b, keyspace.Pattern("#"), &in)
		hub.Scribble("k")
		if _, err := a.Delete(t.Context(), "k"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Delete: %v, want ErrNotFound", err)
		}
		v := mustSet(t, a, "k", "1")
		hub.Scribble("k")
		synctest.Wait()
		if e, err := b.Write(t.Context(), "k", keyspace.Change{Value: []byte("2"), If: func(now uint64) bool { return now == v }}); err != nil || e.Version <= v {
			t.Errorf("a write on version %d: %d, %v", v, e.Version, err)
		}
		hub.Scribble("k")
		hub.Scribble("k")
		if _, err := a.Write(t.Context(), "k", keyspace.Change{Touch: true, TTL: time.Hour}); err != nil {
			t.Error(err)
		}
		hub.Scribble("k")
		if _, err := a.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		hub.Scribble("k")
		if _, err := b.Delete(t.Context(), "k"); !errors.Is(err, keyspace.ErrNotFound) { // a conflict, and then a refusal
			t.Errorf("Delete: %v, want ErrNotFound", err)
		}
		settleDown()
		wantMessages(t, &in, `{"key":"k","value":1}`, `{"key":"k","value":2}`, `{"key":"k","value":null,"deleted":true}`)
		if n := a.Positions() + b.Positions(); n != 0 {
			t.Errorf("the keyspaces keep %d positions of keys that do not exist", n)
		}
	})
}

// A store may forget the delete of a key. The key can be made again, and nothing comes twice.
func TestTheStoreForgetsDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{Echo: true})
		a, _ := openOn(t, hub)
		b, _ := openOn(t, hub)
		var inA, inB inbox
		mustSubscribe(t, a, keyspace.Pattern("#"), &inA)
		mustSubscribe(t, b, keyspace.Pattern("#"), &inB)
		for n := range 3 {
			mustSet(t, a, "k", fmt.Sprint(n))
			if _, err := b.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			hub.ForgetDeletes()
		}
		if _, err := a.Write(t.Context(), "k", keyspace.Change{Value: []byte("4"), If: func(v uint64) bool { return v == 0 }}); err != nil {
			t.Error(err)
		}
		settleDown()
		for _, in := range []*inbox{&inA, &inB} {
			wantRising(t, in)
			if n := len(in.messages()); n != 7 {
				t.Errorf("%d updates, want 7", n)
			}
		}
		if _, m := resume(t, a, 1, nil); m.Reset {
			t.Errorf("%+v: the keyspace itself has not forgotten the deletes", m)
		}
	})
}

// A keyspace forgets the oldest deletes. The record of such a delete may come again, if the
// key is written, and is not delivered again.
func TestTheKeyspaceForgetsDeletes(t *testing.T) {
	hub := storetest.NewHub(storetest.HubOptions{Echo: true})
	a, _ := openOn(t, hub)
	var changes []keyspace.KeyedChange
	for n := range keyspace.RememberedDeletes + 20 {
		key := fmt.Sprint("k/", n)
		changes = append(changes, keyspace.KeyedChange{Key: key, Change: keyspace.Change{Value: []byte("1")}},
			keyspace.KeyedChange{Key: key, Change: keyspace.Change{Delete: true}})
	}
	for _, changes := range [][]keyspace.KeyedChange{changes[:40], changes[40:]} { // the first 20 are forgotten
		for _, r := range a.WriteAll(t.Context(), changes) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	b, _ := openOn(t, hub)
	for i, ks := range []*keyspace.Keyspace{a, b} {
		var in inbox
		mustSubscribe(t, ks, keyspace.Pattern("#"), &in)
		for n := range 10 {
			key := fmt.Sprint("k/", n*2+i)
			if _, err := ks.Delete(t.Context(), key); !errors.Is(err, keyspace.ErrNotFound) {
				t.Errorf("Delete: %v, want ErrNotFound", err)
			}
			mustSet(t, ks, key, "2")
		}
		if err := ks.Shutdown(t.Context()); err != nil { // the updates are delivered
			t.Fatal(err)
		}
		for _, u := range in.updates {
			if string(u.Value) != "2" {
				t.Errorf("a delete of %s was delivered again", u.Target.Name)
			}
		}
		if len(in.updates) < 10 {
			t.Errorf("%d updates, want 10", len(in.updates))
		}
	}
}

// A keyspace that is cut off answers writes and refusals with an error, and can still be
// read. When it is connected again, it gets the writes that it has missed.
func TestCutOff(t *testing.T) {
	for _, newest := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			hub := storetest.NewHub(storetest.HubOptions{Newest: newest})
			a, cut := openOn(t, hub)
			b, _ := openOn(t, hub)
			var in inbox
			mustSubscribe(t, a, keyspace.Pattern("#"), &in)
			since := mustSet(t, b, "k", "1")
			setFor(t, b, "expires", "1", time.Minute)
			setFor(t, a, "touched", "1", time.Minute)
			synctest.Wait()
			cut.CutOff(true)
			for what, change := range map[string]keyspace.Change{
				"set": {Value: []byte("2")}, "merge": appendTo("2"), "touch": {Touch: true, TTL: time.Hour},
				"refusal": {Value: []byte("2"), If: func(uint64) bool { return false }},
			} {
				if _, err := a.Write(t.Context(), "k", change); !errors.Is(err, keyspace.ErrUnavailable) || !errors.Is(err, keyspace.ErrCutOff) {
					t.Errorf("%s: %v, want ErrUnavailable and ErrCutOff", what, err)
				}
			}
			if _, err := a.Delete(t.Context(), "missing"); !errors.Is(err, keyspace.ErrCutOff) {
				t.Errorf("a delete of nothing: %v, want ErrCutOff", err)
			}
			mustSet(t, b, "k", "3")
			setFor(t, b, "k", "4", time.Hour)
			if _, err := b.Write(t.Context(), "k", keyspace.Change{Touch: true, TTL: 2 * time.Hour}); err != nil {
				t.Error(err)
			}
			if _, err := b.Write(t.Context(), "touched", keyspace.Change{Touch: true, TTL: time.Hour}); err != nil {
				t.Error(err)
			}
			wantValue(t, a, "k", "1")
			time.Sleep(2 * time.Minute)
			wantValue(t, b, "expires", "")
			wantValue(t, b, "touched", "1")
			if _, m := resume(t, a, since, nil); m.Revision >= b.Revision() {
				t.Errorf("revision %d of a keyspace that is cut off, want less than %d", m.Revision, b.Revision())
			}
			cut.CutOff(false)
			settleDown()
			for key, want := range map[string]string{"k": "4", "expires": "", "touched": "1"} {
				wantValue(t, a, key, want)
				wantValue(t, b, key, want)
			}
			if e, err := a.Get("k"); err != nil || e.TTL < 90*time.Minute {
				t.Errorf("the key lives for %v, %v; want about 2 hours", e.TTL, err)
			}
			if a.Revision() != b.Revision() {
				t.Errorf("revisions %d and %d, want the same", a.Revision(), b.Revision())
			}
			wantRising(t, &in)
			if n := len(in.messages()); n != 6 && !newest || n < 5 {
				t.Errorf("%d updates", n)
			}
			wantQuiet(t, a)
		})
	}
}

// A touch brings the value of a write that the keyspace has missed. The next write knows the
// touch's position.
func TestATouchBringsAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{Newest: true})
		cut := hub.Open()
		counted, conflicts := countConflicts(cut)
		a := open(t, keyspace.Options{Store: counted})
		b, _ := openOn(t, hub)
		var in inbox
		mustSubscribe(t, a, keyspace.Key("k"), &in)
		cut.CutOff(true)
		v := mustSet(t, b, "k", "1")
		if _, err := b.Write(t.Context(), "k", keyspace.Change{Touch: true, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		cut.CutOff(false)
		settleDown()
		wantMessages(t, &in, `{"key":"k","value":1}`)
		if e, err := a.Get("k"); err != nil || e.Version != v || e.TTL < 50*time.Minute {
			t.Errorf("%+v, %v; want version %d and an hour", e, err, v)
		}
		third := hub.Open() // it loads the touch
		alsoCounted, alsoConflicts := countConflicts(third)
		c := open(t, keyspace.Options{Store: alsoCounted})
		mustSet(t, c, "k", "2")
		synctest.Wait()
		mustSet(t, a, "k", "3")
		if n, m := conflicts.Load(), alsoConflicts.Load(); n+m != 0 {
			t.Errorf("%d and %d conflicts, want none", n, m)
		}
	})
}
