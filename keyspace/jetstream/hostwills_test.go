package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// shortly returns a context that ends soon.
func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Wills that cannot be carried out when the session ends are carried out when NATS answers
// again, and not when the node ends some day.
func TestWillsOfASessionThatEndsWithoutNATS(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	if err := a.store.KeepWills(t.Context(), "s", keyspace.WillOwner{}, []keyspace.Will{will("k", "1")}); err != nil {
		t.Fatal(err)
	}
	c.Server(0).Stop()
	err := a.store.CarryOutWills(shortly(t), "s", []keyspace.Will{will("k", "1")})
	c.Server(0).Continue()
	if err == nil {
		t.Error("wills were carried out without NATS")
	}
	a.await(t, "k", patience)
}

// A session whose will may have been kept, or not, can keep others.
func TestAWillWhoseOutcomeIsNotKnown(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	for i := range 2 {
		session := fmt.Sprint("s", i)
		c.Server(0).Stop()
		err := a.store.KeepWills(shortly(t), session, keyspace.WillOwner{}, []keyspace.Will{will("unknown", "1")})
		c.Server(0).Continue()
		if !errors.Is(err, keyspace.ErrUnknownOutcome) {
			t.Errorf("%v, want ErrUnknownOutcome", err)
		}
	}
	if err := a.store.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.store.KeepWills(t.Context(), "s0", keyspace.WillOwner{}, []keyspace.Will{will("k", "1")}); err != nil {
		t.Error(err)
	}
	if err := a.store.CarryOutWills(t.Context(), "s0", []keyspace.Will{will("k", "1")}); err != nil {
		t.Error(err)
	}
	if err := a.store.CarryOutWills(t.Context(), "s1", nil); err != nil { // its client knows of no will
		t.Error(err)
	}
	a.store.Crash()
	b.await(t, "k", patience)
	if !isLong() {
		return
	}
	<-time.After(15 * time.Second) // in which another node would carry it out
	if _, err := b.Get("unknown"); !errors.Is(err, keyspace.ErrNotFound) {
		t.Errorf("a will that was refused was written: %v", err)
	}
}

// Many sessions end at the same time, as after a proxy ends.
func TestManySessionsEnd(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	const sessions = 200
	wills := func(i int) (all []keyspace.Will) {
		for j := range 4 {
			all = append(all, will(fmt.Sprint("k/", i, "/", j), strings.Repeat("1", 2000)))
		}
		return all
	}
	var running sync.WaitGroup
	for i := range sessions {
		running.Go(func() {
			if err := a.store.KeepWills(t.Context(), fmt.Sprint("s", i), keyspace.WillOwner{}, wills(i)); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	var late atomic.Int32
	for i := range sessions {
		running.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if a.store.CarryOutWills(ctx, fmt.Sprint("s", i), wills(i)) != nil {
				late.Add(1)
			}
		})
	}
	running.Wait()
	for i := range sessions {
		for j := range 4 {
			a.await(t, fmt.Sprint("k/", i, "/", j), patience)
		}
	}
	t.Logf("the wills of %d of %d sessions were written later", late.Load(), sessions)
}

// Wills that do not fit into a message, or into a batch, are refused at once.
func TestWillsThatDoNotFit(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	large := []keyspace.Will{will("large", strings.Repeat("1", 900<<10))}
	if err := a.store.KeepWills(t.Context(), "large", keyspace.WillOwner{}, large); err != nil {
		t.Errorf("a will whose value is as large as that of a key: %.200v", err)
	}
	if err := a.store.CarryOutWills(t.Context(), "large", large); err != nil {
		t.Errorf("a large will: %.200v", err)
	}
	var many []keyspace.Will
	for i := range 1200 {
		many = append(many, will(fmt.Sprint("many/", i), "1"))
	}
	began := time.Now()
	if err := a.store.KeepWills(t.Context(), "many", keyspace.WillOwner{}, many); !errors.Is(err, keyspace.ErrTooManyWills) {
		t.Errorf("1200 wills: %v", err)
	}
	many = many[:2]
	for i := range many {
		many[i].Value = large[0].Value
	}
	if err := a.store.KeepWills(t.Context(), "many", keyspace.WillOwner{}, many); !errors.Is(err, keyspace.ErrTooManyWills) {
		t.Errorf("1.8 MB of wills: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
