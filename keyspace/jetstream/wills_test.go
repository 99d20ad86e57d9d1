package jetstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// A node is a keyspace on a stream.
type node struct {
	*keyspace.Keyspace
	store *jetstream.Store
}

func start(t *testing.T, o jetstream.Options) node {
	t.Helper()
	s, err := jetstream.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, s, s)
}

// startOn opens a keyspace on a store that wraps a Store, or is the Store.
func startOn(t *testing.T, wraps keyspace.Store, s *jetstream.Store) node {
	t.Helper()
	ks, err := keyspace.Open(keyspace.Options{Store: wraps})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := ks.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return node{ks, s}
}

// await returns the key's entry when it has a value.
func (n node) await(t *testing.T, key string, patience time.Duration) keyspace.Entry {
	t.Helper()
	var e keyspace.Entry
	eventually(t, patience, key+" has a value", func() (ok bool) {
		var err error
		e, err = n.Get(key)
		return err == nil
	})
	return e
}

func will(key, value string) keyspace.Will {
	return keyspace.Will{Target: keyspace.Key(key), Value: []byte(value)}
}

// The wills of a node that dies are written by another one, once, although two survive.
func TestWillsOfADeadNode(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 1})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	d := start(t, jetstream.Options{URL: c.URL(), Node: "d"})
	ctx := t.Context()
	v, err := a.Set(ctx, "state", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	old := v + 1
	holds, fails := will("state", "2"), will("other", "3")
	holds.IfVersion, fails.IfVersion = &v, &old
	gone := keyspace.Will{Target: keyspace.Key("none")}
	if err := a.store.KeepWills(ctx, "s1", keyspace.WillOwner{}, []keyspace.Will{will("first", "0")}); err != nil {
		t.Fatal(err)
	}
	if err := a.store.KeepWills(ctx, "s1", keyspace.WillOwner{}, []keyspace.Will{holds, fails, gone, will("k", "4")}); err != nil {
		t.Fatal(err)
	}
	if err := a.store.KeepWills(ctx, "s2", keyspace.WillOwner{}, []keyspace.Will{will("left", "5")}); err != nil {
		t.Fatal(err)
	}
	if err := a.store.CarryOutWills(ctx, "s2", nil); err != nil { // it said goodbye
		t.Fatal(err)
	}
	began := time.Now()
	a.store.Crash()
	e := b.await(t, "k", 15*time.Second)
	t.Logf("written after %v", time.Since(began))
	if got := d.await(t, "k", time.Second); got.Version != e.Version {
		t.Errorf("the nodes have versions %d and %d", e.Version, got.Version)
	}
	eventually(t, time.Second, "state is 2", func() bool { // its actor may be later than that of k
		e, err := b.Get("state")
		return err == nil && string(e.Value) == "2"
	})
	for _, key := range []string{"other", "none", "first", "left"} {
		if _, err := b.Get(key); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
