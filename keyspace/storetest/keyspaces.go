package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
)

// openKeyspace opens a keyspace on a store.
func openKeyspace(tb testing.TB, o Options, dir string) (*keyspace.Keyspace, keyspace.Store) {
	tb.Helper()
	store := o.Open(tb, dir)
	ks, err := keyspace.Open(keyspace.Options{Store: store, OnPanic: func(p keyspace.Panic) { tb.Errorf("panic: %v\n%s", p.Value, p.Stack) }})
	if err != nil {
		_ = store.Close()
		tb.Fatalf("keyspace.Open: %v", err)
	}
	tb.Cleanup(func() { shutdown(tb, ks) })
	return ks, store
}

func shutdown(tb testing.TB, ks *keyspace.Keyspace) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := ks.Shutdown(ctx); err != nil {
		tb.Errorf("Shutdown: %v", err)
	}
}

// A client is a subscriber that keeps the last value of each key, as a browser does.
type client struct {
	mu      sync.Mutex
	values  map[string]string
	last    map[string]uint64
	updates int
	mark    keyspace.Mark
	changed chan struct{} // holds a token after an update
}

func newClient() *client {
	return &client{values: map[string]string{}, last: map[string]uint64{}, changed: make(chan struct{}, 1)}
}

// Deliver implements [keyspace.Subscriber].
func (c *client) Deliver(u *keyspace.Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updates++
	c.last[u.Target.Name] = u.Version
	if u.Value == nil {
		delete(c.values, u.Target.Name)
	} else {
		c.values[u.Target.Name] = string(u.Value)
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// resume subscribes to all keys since the client's mark.
func (c *client) resume(tb testing.TB, ks *keyspace.Keyspace) {
	tb.Helper()
	c.updates = 0
	c.last = map[string]uint64{}
	err := ks.Subscribe(context.Background(), keyspace.Pattern("#"), c, keyspace.Start{
		Resume: true, Since: c.mark.Revision, Epoch: c.mark.Epoch, Each: c.Deliver, Mark: func(m keyspace.Mark) { c.mark = m },
	})
	if err != nil {
		tb.Fatalf("Subscribe: %v", err)
	}
}

// since returns a client that has seen everything up to a mark.
func since(m keyspace.Mark) *client {
	c := newClient()
	c.mark = m
	return c
}

// write makes changes of a keyspace that has to take all of them.
func write(tb testing.TB, ks *keyspace.Keyspace, changes ...keyspace.KeyedChange) (highest uint64) {
	tb.Helper()
	for i, r := range ks.WriteAll(context.Background(), changes) {
		if r.Err != nil {
			tb.Fatalf("write %s: %v", short(changes[i].Key), r.Err)
		}
		highest = max(highest, r.Entry.Version)
	}
	return highest
}

func setKey(key, v string) keyspace.KeyedChange {
	return keyspace.KeyedChange{Key: key, Change: keyspace.Change{Value: []byte(v)}}
}

func deleteKey(key string) keyspace.KeyedChange {
	return keyspace.KeyedChange{Key: key, Change: keyspace.Change{Delete: true}}
}

// list returns all values.
func list(tb testing.TB, ks *keyspace.Keyspace) map[string]string {
	tb.Helper()
	c := newClient()
	err := ks.Subscribe(context.Background(), keyspace.Pattern("#"), c, keyspace.Start{Snapshot: true, Each: c.Deliver})
	if err := errors.Join(err, ks.Unsubscribe(context.Background(), keyspace.Pattern("#"), c)); err != nil {
		tb.Fatalf("Subscribe: %v", err)
	}
	return c.values
}

// checkResume requires that a client that resumes over a restart gets exactly the changes
// that it has missed, deletes included. If the store is not durable, the client gets a reset.
func checkResume(tb testing.TB, o Options) {
	dir := tb.TempDir()
	ks, _ := openKeyspace(tb, o, dir)
	var changes []keyspace.KeyedChange
	for n := range 100 {
		changes = append(changes, setKey(fmt.Sprint("k/", n), "old"))
	}
	write(tb, ks, changes...)
	c := newClient()
	c.resume(tb, ks)
	if err := ks.Unsubscribe(context.Background(), keyspace.Pattern("#"), c); err != nil {
		tb.Fatalf("Unsubscribe: %v", err)
	}
	missed := map[string]bool{}
	changes = nil
	for n := range 30 {
		key := fmt.Sprint("k/", n)
		missed[key] = true
		if n%3 != 0 {
			changes = append(changes, setKey(key, fmt.Sprint("new ", n)))
		}
		if n%3 != 1 {
			changes = append(changes, deleteKey(key))
		}
	}
	changes = append(changes, keyspace.KeyedChange{Key: "k/99", Change: keyspace.Change{Touch: true, TTL: time.Hour}})
	last := write(tb, ks, changes...)
	epoch, want := ks.Epoch(), list(tb, ks)
	shutdown(tb, ks)

	ks, _ = openKeyspace(tb, o, dir)
	if !o.Durable {
		if c.resume(tb, ks); !c.mark.Reset || c.updates != 0 {
			tb.Errorf("a client resumes over a restart of a store that keeps nothing: %+v and %d updates, want a reset", c.mark, c.updates)
		}
		return
	}
	if ks.Epoch() != epoch {
		tb.Errorf("the epoch is %q after a restart, and was %q", ks.Epoch(), epoch)
	}
	if ks.Revision() < last {
		tb.Errorf("the revision is %d after a restart, but version %d was given out", ks.Revision(), last)
	}
	if got := list(tb, ks); !maps.Equal(got, want) {
		tb.Errorf("after a restart the keyspace holds %d keys, or other values; want %d", len(got), len(want))
	}
	if e, err := ks.Get("k/99"); err != nil || e.TTL <= 59*time.Minute || e.TTL > time.Hour {
		tb.Errorf("the key that was touched: %v left, %v; want an hour", e.TTL, err)
	}
	c.resume(tb, ks)
	if c.mark.Reset || c.updates != len(missed) || !maps.Equal(c.values, want) {
		tb.Errorf("a client resumes over a restart: %+v, %d updates, %d values; want no reset, %d updates, %d values",
			c.mark, c.updates, len(c.values), len(missed), len(want))
	}
	for key := range missed {
		if c.last[key] == 0 {
			tb.Errorf("a client that resumes did not get %s", key)
		}
	}
	if v := write(tb, ks, setKey("after", "1")); v <= last {
		tb.Errorf("version %d after a restart, but version %d was given out", v, last)
	}
}

// checkExpiredMeanwhile requires that keys that expired while the store was closed are
// deleted as always: with a version, and an update for a client that resumes.
func checkExpiredMeanwhile(tb testing.TB, o Options) {
	dir := tb.TempDir()
	s := open(tb, o, dir)
	past := time.Now().Add(-time.Minute)
	for n := range 20 {
		w := set(fmt.Sprint("expired/", n), value(10, n))
		w.Expires = past
		s.commit(w)
		w.Key = fmt.Sprint("touched/", n)
		s.commit(w)
		s.commit(s.touch(w.Key, time.Now().Add(time.Hour)))
	}
	last := s.state.highest()
	s = s.reopen()
	if n := len(s.state.writes); n != 40 {
		tb.Fatalf("Load applied %d keys, want 40: the keyspace deletes those that have expired", n)
	}
	s.close()
	ks, _ := openKeyspace(tb, o, dir)
	c := since(keyspace.Mark{Epoch: s.history.Epoch, Revision: last})
	c.resume(tb, ks)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for count := 0; count < 20; {
		select {
		case <-c.changed:
			c.mu.Lock()
			count = len(c.last)
			c.mu.Unlock()
		case <-timeout.C:
			tb.Fatalf("%d of 20 keys that expired while the store was closed were deleted", count)
		}
	}
	if c.mark.Reset {
		tb.Errorf("a client that resumes from %d got a reset", last)
	}
	if keys := ks.Keys(); keys != 20 {
		tb.Errorf("%d keys, want the 20 that were touched", keys)
	}
	for key, version := range c.last {
		if version <= last {
			tb.Errorf("%s expired with version %d, which is not above %d", key, version, last)
		}
	}
}

// checkForgottenDeletes requires that a restart forgets the deletes that the keyspace has
// forgotten, and no other: a client that resumes from before them gets a reset.
func checkForgottenDeletes(tb testing.TB, o Options) {
	dir := tb.TempDir()
	s := open(tb, o, dir)
	begin := keyspace.Mark{Epoch: s.history.Epoch, Revision: s.history.Last}
	middle, late := begin, begin
	s.deleteMany("early", 4464+keyspace.RememberedDeletes/2)
	middle.Revision = s.state.highest()
	s.deleteMany("late", keyspace.RememberedDeletes/2)
	late.Revision = s.state.highest()
	s.close()
	ks, store := openKeyspace(tb, o, dir)
	for n := range 100 {
		key := fmt.Sprint("last/", n)
		write(tb, ks, setKey(key, "1"), deleteKey(key))
	}
	shutdown := func() {
		tb.Helper()
		if o.Snapshot != nil {
			var err error
			if within(tb, "Snapshot", func() { err = o.Snapshot(store) }); err != nil {
				tb.Errorf("Snapshot: %v", err)
			}
		}
		shutdown(tb, ks)
	}
	for range 2 {
		shutdown()
		ks, store = openKeyspace(tb, o, dir)
		c := since(begin)
		if c.resume(tb, ks); !c.mark.Reset {
			tb.Errorf("a client that resumes from before deletes that were forgotten: %+v, want a reset", c.mark)
		}
		c = since(middle)
		if c.resume(tb, ks); c.mark.Reset || c.updates != keyspace.RememberedDeletes/2+100 {
			tb.Errorf("a client that resumes from %d: %+v, %d deletes; want no reset, %d", middle.Revision, c.mark, c.updates, keyspace.RememberedDeletes/2+100)
		}
		c = since(late)
		if c.resume(tb, ks); c.mark.Reset || c.updates != 100 || len(c.values) != 0 {
			tb.Errorf("a client that resumes from %d: %+v, %d updates, %d values; want no reset, 100 deletes", late.Revision, c.mark, c.updates, len(c.values))
		}
	}
}

// deleteMany commits deletes of many keys.
func (s *session) deleteMany(prefix string, deletes int) {
	var writing sync.WaitGroup
	for w := range 32 {
		writing.Go(func() {
			for n := w; n < deletes; n += 32 {
				s.commit(remove(fmt.Sprint(prefix, "/", n)))
			}
		})
	}
	writing.Wait()
}
