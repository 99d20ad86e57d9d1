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
)

// The tests of the updates that wait in a burst: who gets them, when, and in which order.

// A diary notes the updates that its subscribers get, in the order of the calls.
type diary struct {
	mu    sync.Mutex
	lines []string
}

// A writer of the diary is a subscriber.
type diarist struct {
	*diary
	name string
}

func (x *diarist) Deliver(u *keyspace.Update) { x.note(x.name, u) }

func (d *diary) note(name string, u *keyspace.Update) {
	d.mu.Lock()
	defer d.mu.Unlock()
	value := string(u.Value)
	if u.Value == nil {
		value = "deleted"
	}
	d.lines = append(d.lines, fmt.Sprintf("%s: %s=%s", name, u.Target.Name, value))
}

// want expects the lines since the last call, separated by commas.
func (d *diary) want(t *testing.T, when, lines string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := strings.Join(d.lines, ", "); got != lines {
		t.Errorf("%s: %s\nwant %s", when, got, lines)
	}
	d.lines = nil
}

// inBundle runs a test with the subscribers x and y of the keys a and b.
func inBundle(t *testing.T, test func(t *testing.T, ks *keyspace.Keyspace, d *diary, x, y *diarist)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ks, d := open(t, keyspace.Options{}), new(diary)
		x, y := &diarist{d, "x"}, &diarist{d, "y"}
		for _, key := range []string{"a", "b"} {
			mustSubscribe(t, ks, keyspace.Key(key), x)
			mustSubscribe(t, ks, keyspace.Key(key), y)
		}
		test(t, ks, d, x, y)
	})
}

func TestABurstIsDeliveredSubscriberBySubscriber(t *testing.T) {
	inBundle(t, func(t *testing.T, ks *keyspace.Keyspace, d *diary, x, _ *diarist) {
		var b keyspace.Burst
		burst(t, ks, &b, "a", set("1"), set("2"))
		burst(t, ks, &b, "b", set("3"))
		d.want(t, "during the burst", "")
		b.End()
		d.want(t, "after its end", "x: a=1, x: a=2, x: b=3, y: a=1, y: a=2, y: b=3")

		// The same subscribers in another order are the same.
		if err := ks.Unsubscribe(t.Context(), keyspace.Key("a"), x); err != nil {
			t.Fatal(err)
		}
		mustSubscribe(t, ks, keyspace.Key("a"), x)
		for range 2 {
			burst(t, ks, &b, "a", set("4"))
			burst(t, ks, &b, "b", set("5"))
			b.End()
			d.want(t, "in another order", "y: a=4, y: b=5, x: a=4, x: b=5")
		}

		// Other subscribers are not.
		mustSubscribe(t, ks, keyspace.Key("b"), &diarist{d, "z"})
		burst(t, ks, &b, "a", set("6"))
		burst(t, ks, &b, "b", set("7"))
		d.want(t, "with one more subscriber of b", "y: a=6, x: a=6")
		b.End()
		d.want(t, "after the end", "x: b=7, y: b=7, z: b=7")
	})
}

// Whatever the key's actor is asked for, the updates that wait come first.
func TestWhatWaitsIsDeliveredFirst(t *testing.T) {
	const before = "x: a=1, x: b=1, y: a=1, y: b=1"
	for name, c := range map[string]struct {
		then func(t *testing.T, ks *keyspace.Keyspace, b *keyspace.Burst, x *diarist) error
		want string
	}{
		"another client's write": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, _ *diarist) error {
			_, err := ks.Set(t.Context(), "a", []byte("of another"))
			return err
		}, before + ", x: a=of another, y: a=of another"},
		"another client's burst": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, _ *diarist) error {
			var other keyspace.Burst
			burst(t, ks, &other, "a", set("of another"))
			other.End()
			return nil
		}, before + ", x: a=of another, y: a=of another"},
		"another client's refused write": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, _ *diarist) error {
			_, err := ks.Write(t.Context(), "a", keyspace.Change{Value: []byte("0"), If: func(uint64) bool { return false }})
			if v := new(keyspace.VersionError); !errors.As(err, &v) {
				return fmt.Errorf("no version error: %w", err)
			}
			return nil
		}, before},
		"a delete in the burst": {func(t *testing.T, ks *keyspace.Keyspace, b *keyspace.Burst, _ *diarist) error {
			burst(t, ks, b, "a", keyspace.Change{Delete: true})
			return nil
		}, "x: a=1, x: b=1, x: a=deleted, y: a=1, y: b=1, y: a=deleted"},
		"a read": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, x *diarist) error {
			return ks.GetInOrder(t.Context(), "a", func(e keyspace.Entry) {
				x.note("read", &keyspace.Update{Target: keyspace.Key(e.Key), Value: e.Value})
			})
		}, before + ", read: a=1"},
		"a subscription": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, x *diarist) error {
			z := &diarist{x.diary, "z"}
			return ks.Subscribe(t.Context(), keyspace.Key("a"), z, keyspace.Start{Snapshot: true, Each: z.Deliver})
		}, before + ", z: a=1"},
		"a subscription of a pattern": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, x *diarist) error {
			z := &diarist{x.diary, "z"}
			return ks.Subscribe(t.Context(), keyspace.Pattern("a/#"), z, keyspace.Start{Snapshot: true, Each: z.Deliver})
		}, before + ", z: a=1"},
		"the end of a subscription": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, x *diarist) error {
			return ks.Unsubscribe(t.Context(), keyspace.Key("a"), x)
		}, before},
		"an expiry": {func(t *testing.T, _ *keyspace.Keyspace, _ *keyspace.Burst, _ *diarist) error {
			time.Sleep(time.Minute)
			return nil
		}, before + ", x: a=deleted, y: a=deleted"},
		"a write that panics": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, _ *diarist) error {
			_, err := ks.Write(t.Context(), "a", keyspace.Change{Merge: func([]byte) ([]byte, error) { panic("a broken merge") }})
			if !errors.Is(err, keyspace.ErrInternal) {
				return fmt.Errorf("no internal error: %w", err)
			}
			return nil
		}, before},
		"a write in the burst that panics": {func(t *testing.T, ks *keyspace.Keyspace, b *keyspace.Burst, _ *diarist) error {
			b.Begin()
			_, err := ks.Write(t.Context(), "a", keyspace.Change{Burst: b, Merge: func([]byte) ([]byte, error) { panic("a broken merge") }})
			if !errors.Is(err, keyspace.ErrInternal) {
				return fmt.Errorf("no internal error: %w", err)
			}
			return nil
		}, before},
		"a shutdown": {func(t *testing.T, ks *keyspace.Keyspace, _ *keyspace.Burst, _ *diarist) error {
			return ks.Shutdown(t.Context())
		}, before},
		"a write in the burst that comes late": {func(t *testing.T, ks *keyspace.Keyspace, b *keyspace.Burst, _ *diarist) error {
			time.Sleep(5 * time.Millisecond)
			b.Begin()
			return nil
		}, before},
	} {
		t.Run(name, func(t *testing.T) {
			inBundle(t, func(t *testing.T, ks *keyspace.Keyspace, d *diary, x, _ *diarist) {
				var b keyspace.Burst
				burst(t, ks, &b, "a", keyspace.Change{Value: []byte("1"), TTL: time.Second})
				burst(t, ks, &b, "b", set("1"))
				d.want(t, "during the burst", "")
				if err := c.then(t, ks, &b, x); err != nil {
					t.Fatal(err)
				}
				d.want(t, "after "+name, c.want)
				want := ""
				if name != "a shutdown" {
					burst(t, ks, &b, "b", set("2"))
					want = "x: b=2, y: b=2"
				}
				b.End()
				d.want(t, "after the end", want)
				if n := ks.InFlight(); n > 0 {
					t.Errorf("%d runs are in flight", n)
				}
			})
		})
	}
}

// The subscribers of patterns get a burst like those of keys.
func TestABurstOfKeysThatPatternsMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks, d := open(t, keyspace.Options{}), new(diary)
		w, x, y, z := &diarist{d, "w"}, &diarist{d, "x"}, &diarist{d, "y"}, &diarist{d, "z"}
		mustSubscribe(t, ks, keyspace.Key("a"), x)
		mustSubscribe(t, ks, keyspace.Key("b"), x)
		mustSubscribe(t, ks, keyspace.Pattern("#"), y)
		mustSubscribe(t, ks, keyspace.Pattern("+"), x)
		mustSubscribe(t, ks, keyspace.Pattern("+"), y)
		var b keyspace.Burst
		write := func(value string) {
			burst(t, ks, &b, "a", set(value))
			burst(t, ks, &b, "b", set(value))
		}
		write("1")
		d.want(t, "during the burst", "")
		b.End()
		d.want(t, "after its end", "x: a=1, x: b=1, y: a=1, y: b=1")

		write("2")
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern("#"), y); err != nil {
			t.Fatal(err)
		}
		d.want(t, "after a subscriber has left a pattern", "x: a=2, x: b=2, y: a=2, y: b=2")
		write("3")
		mustSubscribe(t, ks, keyspace.Pattern("#"), z)
		d.want(t, "after a subscriber has come", "x: a=3, x: b=3, y: a=3, y: b=3")
		write("4")
		if err := ks.Subscribe(t.Context(), keyspace.Pattern("b/#"), w, keyspace.Start{Snapshot: true, Each: w.Deliver}); err != nil {
			t.Fatal(err)
		}
		d.want(t, "after a subscriber has come with a snapshot", "x: a=4, x: b=4, z: a=4, z: b=4, y: a=4, y: b=4, w: b=4")
		burst(t, ks, &b, "a", set("5"))
		burst(t, ks, &b, "b", set("5"))
		d.want(t, "before the end", "x: a=5, z: a=5, y: a=5") // b has one pattern more
		b.End()
		d.want(t, "after the end", "x: b=5, z: b=5, w: b=5, y: b=5")
		if n := ks.InFlight(); n > 0 {
			t.Errorf("%d runs are in flight", n)
		}
	})
}

// A touch and a refused write of the burst tell the subscribers nothing, so the others wait on.
func TestAWriteWithoutAnUpdateDoesNotEndTheWait(t *testing.T) {
	inBundle(t, func(t *testing.T, ks *keyspace.Keyspace, d *diary, _, _ *diarist) {
		var b keyspace.Burst
		burst(t, ks, &b, "a", set("1"), keyspace.Change{Touch: true, TTL: time.Hour})
		b.Begin()
		if _, err := ks.Write(t.Context(), "a", keyspace.Change{Delete: true, Burst: &b, If: func(uint64) bool { return false }}); err == nil {
			t.Error("a write is made whose condition does not hold")
		}
		d.want(t, "during the burst", "")
		b.End()
		d.want(t, "after the end", "x: a=1, y: a=1")
	})
}

// A revision covers no update that waits, and an update's own covers all that came before it.
func TestRevisionsOfUpdatesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		var promised, versions []uint64
		x := &promise{func(u *keyspace.Update) {
			promised, versions = append(promised, u.Revision()), append(versions, u.Version)
		}}
		for _, key := range []string{"a", "b"} {
			mustSubscribe(t, ks, keyspace.Key(key), x)
		}
		mustSet(t, ks, "a", "0")
		before := ks.Revision()
		var b keyspace.Burst
		burst(t, ks, &b, "a", set("1"))
		burst(t, ks, &b, "b", set("2"))
		mustSet(t, ks, "c", "without subscribers")
		if r := ks.Revision(); r != before {
			t.Errorf("while updates wait, the revision is %d, want %d", r, before)
		}
		burst(t, ks, &b, "a", set("3"))
		b.End()
		if r, last := ks.Revision(), versions[len(versions)-1]; r != last {
			t.Errorf("after the end, the revision is %d, want %d", r, last)
		}
		if !slices.Equal(promised, versions) {
			t.Errorf("the updates %d promise %d", versions, promised)
		}
	})
}

type promise struct{ deliver func(*keyspace.Update) }

func (x *promise) Deliver(u *keyspace.Update) { x.deliver(u) }

// A panic of one subscriber costs the others nothing.
func TestAPanicWhileABurstIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var panics []keyspace.Panic
		ks := open(t, keyspace.Options{OnPanic: func(p keyspace.Panic) { panics = append(panics, p) }})
		d := new(diary)
		mustSubscribe(t, ks, keyspace.Key("a"), &diarist{d, "x"})
		mustSubscribe(t, ks, keyspace.Key("a"), new(bomb))
		mustSubscribe(t, ks, keyspace.Key("a"), &diarist{d, "y"})
		var b keyspace.Burst
		burst(t, ks, &b, "a", set("1"), set("2"))
		b.End()
		d.want(t, "after the end", "x: a=1, x: a=2, y: a=1, y: a=2")
		synctest.Wait()
		if len(panics) != 1 || panics[0].Target != keyspace.Key("a") || panics[0].Value != "a broken subscriber" ||
			!strings.Contains(string(panics[0].Stack), "bomb") {
			t.Errorf("reported: %+v", panics)
		}
		if n := ks.InFlight(); n > 0 {
			t.Errorf("%d runs are in flight", n)
		}
	})
}

// A picky subscriber cannot take one of the updates.
type picky struct{ got []string }

func (x *picky) Deliver(u *keyspace.Update) {
	if string(u.Value) == "poison" {
		panic("a broken encoder")
	}
	x.got = append(x.got, string(u.Value))
}

func (x *picky) DeliverBundle(b *keyspace.Bundle) {
	for _, u := range b.Updates {
		if string(u.Value) == "poison" {
			panic("a broken encoder")
		}
	}
	for _, u := range b.Updates {
		x.Deliver(u)
	}
}

// A panic over one update of a bundle costs no other update.
func TestAPanicOverOneUpdateOfABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var panics atomic.Int64
		ks := open(t, keyspace.Options{OnPanic: func(keyspace.Panic) { panics.Add(1) }})
		x, y := new(picky), new(picky)
		mustSubscribe(t, ks, keyspace.Key("a"), x)
		mustSubscribe(t, ks, keyspace.Key("a"), y)
		var b keyspace.Burst
		burst(t, ks, &b, "a", set("1"), set("poison"), set("2"))
		b.End()
		synctest.Wait()
		for _, s := range []*picky{x, y} {
			if !slices.Equal(s.got, []string{"1", "2"}) {
				t.Errorf("a subscriber got %q", s.got)
			}
		}
		if panics.Load() != 1 {
			t.Errorf("%d panics were reported for one bundle", panics.Load())
		}
	})
}

// A bundler takes several updates with one call.
type bundler struct{ calls [][]string }

func (x *bundler) Deliver(u *keyspace.Update) { x.calls = append(x.calls, []string{string(u.Value)}) }

func (x *bundler) DeliverBundle(b *keyspace.Bundle) {
	var values []string
	for _, u := range b.Updates {
		values = append(values, string(u.Value))
	}
	x.calls = append(x.calls, values)
}

func TestASubscriberMayTakeAllUpdatesWithOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks, x := open(t, keyspace.Options{}), new(bundler)
		for i := range 200 {
			mustSubscribe(t, ks, keyspace.Key(fmt.Sprint(i)), x)
		}
		var b keyspace.Burst
		for i := range 200 {
			burst(t, ks, &b, fmt.Sprint(i), set(fmt.Sprint(i)))
		}
		b.End()
		mustSet(t, ks, "7", "alone")
		var lengths []int
		for _, c := range x.calls {
			lengths = append(lengths, len(c))
		}
		if !slices.Equal(lengths, []int{64, 64, 64, 8, 1}) {
			t.Errorf("calls with %d updates", lengths)
		}
		n := 0
		for _, value := range slices.Concat(x.calls[:len(x.calls)-1]...) {
			if value != fmt.Sprint(n) {
				t.Fatalf("update %d is %s", n, value)
			}
			n++
		}
	})
}

// A witness checks the order and the number of the updates that it gets, and their revisions.
type witness struct {
	t    *testing.T
	left atomic.Bool
	got  atomic.Int64

	mu       sync.Mutex
	newest   map[string]uint64
	promised uint64
}

func (w *witness) Deliver(u *keyspace.Update) {
	w.got.Add(1)
	revision := u.Revision()
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.Version <= w.promised {
		w.t.Errorf("%s: version %d comes after the revision %d", u.Target.Name, u.Version, w.promised)
	}
	w.promised = max(w.promised, revision)
	if w.left.Load() {
		w.t.Error("an update comes after the end of the subscription")
	}
	if u.Version <= w.newest[u.Target.Name] {
		w.t.Errorf("%s: version %d comes after %d", u.Target.Name, u.Version, w.newest[u.Target.Name])
	}
	w.newest[u.Target.Name] = u.Version
}

func newWitness(t *testing.T) *witness { return &witness{t: t, newest: map[string]uint64{}} }

// Bursts of several clients write the same keys, while subscribers come and go.
func TestBurstsOfTheSameKeysAtTheSameTime(t *testing.T) {
	const keys, writers, rounds, most = 4, 4, 300, 6
	ks := open(t, keyspace.Options{})
	name := func() string { return fmt.Sprint(rand.IntN(keys)) }
	stay := []*witness{newWitness(t), newWitness(t), newWitness(t)}
	mustSubscribe(t, ks, keyspace.Pattern("#"), stay[0])
	for _, w := range stay {
		for i := range keys {
			mustSubscribe(t, ks, keyspace.Key(fmt.Sprint(i)), w)
		}
	}
	var wrote atomic.Int64
	var writing, watching sync.WaitGroup
	for range writers {
		writing.Go(func() {
			var b keyspace.Burst
			for range rounds {
				n := rand.IntN(most)
				for i := range n {
					c := set("1")
					if rand.IntN(10) == 0 {
						c = keyspace.Change{Delete: true}
					}
					if i < n-1 {
						b.Begin()
						c.Burst = &b
					}
					if _, err := ks.Write(t.Context(), name(), c); err == nil {
						wrote.Add(1)
					} else if !errors.Is(err, keyspace.ErrNotFound) {
						t.Error(err)
					}
				}
				b.End()
			}
		})
	}
	done, stop := context.WithCancel(t.Context())
	for range 2 {
		watching.Go(func() {
			for done.Err() == nil {
				w, target := newWitness(t), keyspace.Key(name())
				if rand.IntN(3) == 0 {
					target = keyspace.Pattern(target.Name + "/#")
				}
				if err := ks.Subscribe(t.Context(), target, w, keyspace.Start{Snapshot: true, Each: w.Deliver}); err != nil {
					t.Error(err)
				}
				if err := ks.Unsubscribe(t.Context(), target, w); err != nil {
					t.Error(err)
				}
				w.left.Store(true)
			}
		})
	}
	writing.Wait()
	stop()
	watching.Wait()
	for i := range keys {
		if err := ks.GetInOrder(t.Context(), fmt.Sprint(i), func(keyspace.Entry) {}); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range stay {
		if got := w.got.Load(); got != wrote.Load() {
			t.Errorf("a subscriber has %d updates of %d", got, wrote.Load())
		}
	}
	if n := ks.InFlight(); n > 0 {
		t.Errorf("%d runs are in flight", n)
	}
}
