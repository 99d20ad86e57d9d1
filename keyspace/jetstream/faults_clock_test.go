package jetstream_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// A wrongClock makes a keyspace and its store see a clock that is ahead: the records have the
// times that a keyspace with such a clock would use.
type wrongClock struct {
	*jetstream.Store
	ahead atomic.Int64
}

func (c *wrongClock) set(ahead time.Duration) {
	c.ahead.Store(int64(ahead))
	c.SetClock(ahead)
}

// toReal returns a time of the wrong clock by the right one.
func (c *wrongClock) toReal(at time.Time) time.Time { return c.toWrong(at, -1) }

func (c *wrongClock) toWrong(at time.Time, sign time.Duration) time.Time {
	if at.IsZero() {
		return at
	}
	return at.Add(sign * time.Duration(c.ahead.Load()))
}

func (c *wrongClock) Commit(ctx context.Context, writes []keyspace.Record) error {
	right := make([]time.Time, len(writes))
	for i := range writes {
		w := &writes[i]
		right[i] = w.Expires
		w.Expires = c.toWrong(w.Expires, 1)
		if !w.Touch { // a touch has the time of the value
			w.Written += time.Duration(c.ahead.Load()).Milliseconds()
		}
	}
	err := c.Store.Commit(ctx, writes)
	for i := range writes {
		writes[i].Expires = right[i]
	}
	return err
}

func (c *wrongClock) Load(s keyspace.State) (keyspace.History, error) {
	return c.Store.Load(wrongState{s, c})
}

func (c *wrongClock) Follow(f keyspace.Feed) { c.Store.Follow(wrongFeed{f, c}) }

type wrongState struct {
	keyspace.State
	clock *wrongClock
}

func (s wrongState) Apply(w *keyspace.Record) error {
	w.Expires = s.clock.toReal(w.Expires)
	return s.State.Apply(w)
}

type wrongFeed struct {
	keyspace.Feed
	clock *wrongClock
}

func (f wrongFeed) Apply(records []keyspace.Record) {
	for i := range records {
		records[i].Expires = f.clock.toReal(records[i].Expires)
	}
	f.Feed.Apply(records)
}

func startWrong(t *testing.T, url string, ahead time.Duration) (node, *wrongClock) {
	t.Helper()
	s, err := jetstream.Open(jetstream.Options{URL: url, Node: ahead.String()})
	if err != nil {
		t.Fatal(err)
	}
	c := &wrongClock{Store: s}
	c.set(ahead)
	return startOn(t, c, s), c
}

// Nodes whose clocks are an hour off write keys with the right times, which expire at the right
// times everywhere.
func TestAClockIsWrong(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	right, _ := startWrong(t, c.URL(), 0)
	early, _ := startWrong(t, c.URL(), -time.Hour)
	late, clock := startWrong(t, c.URL(), time.Hour)
	checkClocks(t, c.URL(), right, early, late)
	// Somebody sets the clock.
	clock.set(-2 * time.Hour)
	version := late.store.Status().Place
	eventually(t, patience, "two beats", func() bool { return late.store.Status().Place > version+6 })
	checkClocks(t, c.URL(), right, early, late)
}

func checkClocks(t *testing.T, url string, all ...node) {
	t.Helper()
	const ttl = 1500 * time.Millisecond
	began := time.Now()
	for i, n := range all {
		key := string(rune('a' + i))
		if _, err := n.Write(t.Context(), key, keyspace.Change{Value: []byte("1"), TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Write(t.Context(), key, keyspace.Change{Touch: true, TTL: ttl}); err != nil {
			t.Fatal(err)
		}
	}
	fresh, _ := startWrong(t, url, 30*time.Minute)
	all = append(all, fresh)
	worst := time.Duration(0)
	for i := range 3 {
		key := string(rune('a' + i))
		for j, n := range all {
			e, err := n.Get(key)
			for ; errors.Is(err, keyspace.ErrNotFound) || e.TTL > 2*ttl; e, err = n.Get(key) { // not there yet
				if time.Since(began) > ttl {
					t.Fatalf("%s of node %d on node %d: %v, and has %v to live", key, i, j, err, e.TTL)
				}
			}
			worst = max(worst, time.UnixMilli(e.Written).Sub(began).Abs())
			if time.UnixMilli(e.Written).Sub(began).Abs() > time.Since(began)+100*time.Millisecond {
				t.Errorf("%s of node %d on node %d was written at %v, want %v", key, i, j, time.UnixMilli(e.Written), began)
			}
		}
	}
	first, last := time.Duration(0), time.Duration(0)
	for i := range 3 {
		for j, n := range all {
			eventually(t, patience, "an expiry", func() bool {
				_, err := n.Get(string(rune('a' + i)))
				return errors.Is(err, keyspace.ErrNotFound)
			})
			after := time.Since(began)
			if first == 0 {
				first = after
			}
			last = after
			if after < ttl || after > ttl+4*time.Second {
				t.Errorf("a key of node %d expired on node %d after %v, want %v", i, j, after, ttl)
			}
		}
	}
	t.Logf("| clocks an hour off on two of three nodes | times of writes at most %v off, keys that live for %v expired after %.1f to %.1f s |",
		worst.Round(time.Millisecond), ttl, first.Seconds(), last.Seconds())
}
