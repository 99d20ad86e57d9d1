package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"rtdb/keyspace"
)

// churn makes four clients write a few keys on two keyspaces. It tells the watchers the
// versions that were answered, and returns them.
func (c *cluster) churn(members []*keyspace.Keyspace, keys, each int, watchers ...*watcher) (written []uint64) {
	var mu sync.Mutex
	var writing sync.WaitGroup
	for i := range 4 {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range each {
				key := fmt.Sprint("k/", random.IntN(keys))
				change := setTo(fmt.Sprintf("%d.%d", i, n))
				switch random.IntN(5) {
				case 0:
					change = keyspace.Change{Delete: true}
				case 1:
					change = keyspace.Change{Merge: func([]byte) ([]byte, error) { return fmt.Appendf(nil, "merged %d.%d", i, n), nil }}
				}
				e, err := members[i%2].Write(context.Background(), key, change)
				if errors.Is(err, keyspace.ErrNotFound) {
					continue
				}
				if err != nil {
					c.Errorf("a write of %s: %v", key, err)
					return
				}
				now, err := members[i%2].Get(key)
				if err == nil && now.Version < e.Version || err != nil && !errors.Is(err, keyspace.ErrNotFound) {
					c.Errorf("a read after version %d of %s was answered has seen version %d, %v", e.Version, key, now.Version, err)
				}
				for _, w := range watchers {
					w.want(e.Version)
				}
				mu.Lock()
				written = append(written, e.Version)
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	return written
}

// checkSharedOrder requires that the subscribers of all keyspaces receive each write once,
// in one order for each key.
func checkSharedOrder(c *cluster) {
	members := []*keyspace.Keyspace{c.join(), c.join()}
	a, b := c.watch(members[0]), c.watch(members[1])
	written := c.churn(members, 3, 50, a, b)
	a.awaitWanted()
	b.awaitWanted()
	a.compareOrder(b)
	b.compareOrder(a)
	slices.Sort(written)
	if unique := slices.Compact(slices.Clone(written)); len(unique) != len(written) {
		c.Errorf("%d of %d writes have the version of another write", len(written)-len(unique), len(written))
	}
	if members[0].Epoch() != members[1].Epoch() || members[0].Epoch() == "" {
		c.Errorf("two keyspaces have the epochs %q and %q", members[0].Epoch(), members[1].Epoch())
	}
	for key := range a.byKey() {
		x, errX := members[0].Get(key)
		y, errY := members[1].Get(key)
		if string(x.Value) != string(y.Value) || x.Version != y.Version || x.Written != y.Written || !errors.Is(errX, errY) {
			c.Errorf("two keyspaces hold %+v, %v and %+v, %v", x, errX, y, errY)
		}
	}
}

// checkSharedRevision requires that a revision is never above a write that the subscriber
// has not received, and that the revision comes to the last write.
func checkSharedRevision(c *cluster) {
	members := []*keyspace.Keyspace{c.join(), c.join()}
	watchers := []*watcher{c.watch(members[0]), c.watch(members[1])}
	done := make(chan struct{})
	var marking sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); marking.Wait() })
	defer stop()
	for _, w := range watchers {
		marking.Go(func() {
			pause := time.NewTicker(time.Millisecond)
			defer pause.Stop()
			for {
				select {
				case <-done:
					return
				case <-pause.C:
					w.askMark()
				}
			}
		})
	}
	written := c.churn(members, 10, 50, watchers...)
	last := slices.Max(written)
	for i, w := range watchers {
		w.awaitWanted()
		c.await(fmt.Sprintf("the revision of keyspace %d comes to %d", i, last), func() bool { return members[i].Revision() >= last })
	}
	stop()
	for _, w := range watchers {
		w.compareRevisions(written)
	}
}

// checkSharedTouch requires that a time to live moves on all keyspaces, and that a touch
// changes nothing else.
func checkSharedTouch(c *cluster) {
	a, b := c.join(), c.join()
	w := c.watch(b)
	wantTTL := func(ks *keyspace.Keyspace, from, to time.Duration) {
		c.Helper()
		c.await(fmt.Sprintf("the key has a time to live from %v to %v", from, to), func() bool {
			e, err := ks.Get("k")
			return err == nil && e.TTL >= from && e.TTL <= to
		})
	}
	made := c.mustWrite(a, "k", keyspace.Change{Value: []byte("1"), TTL: time.Hour})
	wantTTL(b, 59*time.Minute, time.Hour)
	for i, ks := range []*keyspace.Keyspace{b, a, b} {
		hours := time.Duration(i+2) * time.Hour
		if e := c.mustWrite(ks, "k", keyspace.Change{Touch: true, TTL: hours}); e.Version != made.Version || string(e.Value) != "1" {
			c.Errorf("a touch returned %q at version %d, want 1 at %d", e.Value, e.Version, made.Version)
		}
		wantTTL(a, hours-time.Minute, hours)
		wantTTL(b, hours-time.Minute, hours)
	}
	made = c.mustWrite(a, "k", keyspace.Change{Merge: increment}) // keeps the time
	c.mustWrite(b, "k", onlyAt(made.Version, keyspace.Change{Touch: true, TTL: 10 * time.Hour}))
	next := c.mustWrite(b, "k", onlyAt(made.Version, keyspace.Change{Merge: increment, TTL: time.Minute}))
	wantTTL(a, time.Second, time.Minute)
	if e, err := a.Get("k"); err != nil || string(e.Value) != "3" || e.Version != next.Version {
		c.Errorf("after touches between writes: %q at %d, %v; want 3 at %d", e.Value, e.Version, err, next.Version)
	}
	c.mustWrite(a, "k", setTo("4"))
	wantTTL(b, 0, 0)
	c.await("a subscriber receives 4 updates", func() bool { return len(w.byKey()["k"]) == 4 })
	w.compareOrder()
}

// checkSharedTouchRace requires that either a touch or an expiry wins, on all keyspaces.
func checkSharedTouchRace(c *cluster) {
	const keys = 20
	members := []*keyspace.Keyspace{c.join(), c.join()}
	ttl := 100 * time.Millisecond
	errs := make([]error, keys)
	var touching sync.WaitGroup
	for n := range keys {
		touching.Go(func() {
			key := fmt.Sprint("k/", n)
			c.mustWrite(members[0], key, keyspace.Change{Value: []byte("1"), TTL: ttl})
			pause := time.NewTimer(ttl + time.Duration(n-keys/2)*2*time.Millisecond)
			defer pause.Stop()
			<-pause.C
			_, errs[n] = members[1].Write(context.Background(), key, keyspace.Change{Touch: true, TTL: time.Hour})
		})
	}
	touching.Wait()
	for n, err := range errs {
		if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
			c.Errorf("a touch: %v", err)
		}
		for i, ks := range members {
			c.await(fmt.Sprintf("keyspace %d agrees that key %d was touched, or has expired (%v)", i, n, err), func() bool {
				e, getErr := ks.Get(fmt.Sprint("k/", n))
				if err != nil {
					return errors.Is(getErr, keyspace.ErrNotFound)
				}
				return getErr == nil && e.TTL > time.Minute
			})
		}
	}
}

// checkSharedExpiry requires that a key that expires is deleted once.
func checkSharedExpiry(c *cluster) {
	const keys = 10
	members := []*keyspace.Keyspace{c.join(), c.join()}
	watchers := []*watcher{c.watch(members[0]), c.watch(members[1])}
	for n := range keys {
		made := c.mustWrite(members[n%2], fmt.Sprint("k/", n), keyspace.Change{Value: []byte("1"), TTL: 200 * time.Millisecond})
		for _, w := range watchers {
			w.want(made.Version)
		}
	}
	for i, w := range watchers {
		c.await(fmt.Sprintf("all keys of keyspace %d expire", i), func() bool { return members[i].Keys() == 0 })
		w.awaitWanted()
	}
	after := c.mustWrite(members[0], "after", setTo("1")) // a second delete would have come before it
	pause := time.NewTimer(1200 * time.Millisecond)       // the others try after a second
	defer pause.Stop()
	<-pause.C
	for _, w := range watchers {
		w.want(after.Version)
		w.awaitWanted()
		for key, updates := range w.byKey() {
			if key != "after" && (len(updates) != 2 || !updates[1].deleted) {
				c.Errorf("the updates of a key that expires are %+v, want a write and one delete", updates)
			}
		}
	}
	watchers[0].compareOrder(watchers[1])
}
