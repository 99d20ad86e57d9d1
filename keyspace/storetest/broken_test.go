package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace"
)

var errBroken = errors.New("the store is broken")

// A broken is a store that is broken on purpose, and the check that has to find it.
type broken struct {
	check string
	how   string
	fault fault
}

// drops returns a fault that does not keep some writes.
func drops(which func(w *keyspace.Record) bool) fault {
	return fault{keep: func(w *keyspace.Record) bool { return !which(w) }}
}

// alters returns a fault that keeps something else.
func alters(how func(w *keyspace.Record)) fault {
	return fault{keep: func(w *keyspace.Record) bool { how(w); return true }}
}

func isDelete(w *keyspace.Record) bool { return w.Value == nil && !w.Touch }

// brokenStores returns new faults, because some of them count.
func brokenStores() []broken {
	var opened atomic.Int64
	counts, blocks := map[string]uint64{}, map[string]uint64{}
	return []broken{
		{"Numbering", "every write has the same version", fault{number: func(_ *diskStore, w *keyspace.Record) { w.Version = 101 }}},
		{"Numbering", "versions fall", fault{number: func(_ *diskStore, w *keyspace.Record) { w.Version = 1<<50 - w.Version }}},
		{"Numbering", "each key has its own versions", fault{number: func(_ *diskStore, w *keyspace.Record) {
			counts[w.Key]++
			w.Version = 100 + counts[w.Key]
		}}},
		{"Numbering", "the first version is not above Last", fault{history: func(_ *diskStore, h *keyspace.History) { h.Last += 10 }}},
		{"Numbering", "Commit changes a time", fault{number: func(_ *diskStore, w *keyspace.Record) { w.Written++ }}},
		{"Numbering", "Commit changes a value", fault{number: func(_ *diskStore, w *keyspace.Record) {
			if len(w.Value) > 0 {
				w.Value[0]++
			}
		}}},
		{"Numbering", "Commit calls Apply", fault{commit: func(s *diskStore, _ context.Context, writes []keyspace.Record) error {
			return s.state.Apply(&writes[0])
		}}},
		{"Touch", "a touch has a version", fault{number: func(s *diskStore, w *keyspace.Record) {
			if w.Touch {
				s.disk.last++
				w.Version = s.disk.last
			}
		}}},
		{"Concurrency", "keys have blocks of versions", fault{number: func(s *diskStore, w *keyspace.Record) {
			if blocks[w.Key]%10 == 0 {
				s.disk.last += 10
				blocks[w.Key] = s.disk.last
			}
			blocks[w.Key]++
			w.Version = blocks[w.Key]
		}}},
		{"Cancel", "a context that ends fails the store", fault{commit: func(s *diskStore, ctx context.Context, _ []keyspace.Record) error {
			if ctx.Err() != nil {
				s.failed = errBroken
			}
			return context.Cause(ctx)
		}}},
		{"Cancel", "the error is not the context's cause", fault{commit: func(_ *diskStore, ctx context.Context, _ []keyspace.Record) error {
			return ctx.Err()
		}}},
		{"Panic", "a panic fails the store", fault{commit: func(s *diskStore, ctx context.Context, _ []keyspace.Record) error {
			before := s.failed
			s.failed = errBroken
			_ = ctx.Err()
			s.failed = before
			return nil
		}}},
		{"CloseWithoutLoad", "Close needs Load", fault{close: func(s *diskStore) error {
			if s.state == nil {
				return errBroken
			}
			return nil
		}}},
		{"CloseWithoutLoad", "Close without Load loses everything", fault{close: func(s *diskStore) error {
			if s.state == nil {
				s.disk.writes = nil
			}
			return nil
		}}},
		{"Epoch", "all stores have one epoch", fault{history: func(_ *diskStore, h *keyspace.History) { h.Epoch = "same" }}},
		{"Epoch", "it has no epoch", fault{history: func(_ *diskStore, h *keyspace.History) { h.Epoch = "" }}},
		{"Epoch", "the epoch is new each time", fault{history: func(_ *diskStore, h *keyspace.History) { h.Epoch = fmt.Sprint(opened.Add(1)) }}},
		{"Resume", "the epoch is new each time", fault{history: func(_ *diskStore, h *keyspace.History) { h.Epoch = fmt.Sprint(opened.Add(1)) }}},
		{"Reload", "the caller's slice is read later", fault{retain: true}},
		{"Reload", "a name is cut", alters(func(w *keyspace.Record) { w.Key = w.Key[:min(len(w.Key), 255)] })},
		{"Reload", "an empty value is a delete", alters(func(w *keyspace.Record) {
			if len(w.Value) == 0 {
				w.Value = nil
			}
		})},
		{"Reload", "the last byte of a large value is lost", alters(func(w *keyspace.Record) {
			if len(w.Value) == 1<<20 {
				w.Value[1<<20-1] ^= 1
			}
		})},
		{"Reload", "times before 1970 are lost", alters(func(w *keyspace.Record) { w.Written = max(0, w.Written) })},
		{"Reload", "deletes are lost", drops(isDelete)},
		{"ReloadRandom", "touches are kept as writes", alters(func(w *keyspace.Record) { w.Touch = false })},
		{"ReloadRandom", "a version is one too low", alters(func(w *keyspace.Record) {
			if w.Version%10 == 0 {
				w.Version--
			}
		})},
		{"ReloadExpiry", "expiries are lost", alters(func(w *keyspace.Record) { w.Expires = time.Time{} })},
		{"ReloadExpiry", "expiries are in seconds", alters(func(w *keyspace.Record) {
			if !w.Expires.IsZero() {
				w.Expires = time.Unix(w.Expires.Unix(), 0)
			}
		})},
		{"ReloadExpiry", "touches are lost", drops(func(w *keyspace.Record) bool { return w.Touch })},
		{"ReloadExpiry", "a touch cannot end an expiry", drops(func(w *keyspace.Record) bool { return w.Touch && w.Expires.IsZero() })},
		{"ReloadExpiry", "keys that have expired are not kept", drops(func(w *keyspace.Record) bool {
			return !w.Expires.IsZero() && w.Expires.Before(time.Now())
		})},
		{"ExpiredMeanwhile", "keys that have expired are not kept", drops(func(w *keyspace.Record) bool {
			return !w.Expires.IsZero() && w.Expires.Before(time.Now())
		})},
		{"ReloadDeletes", "Close compacts, without deletes", fault{close: compact(false)}},
		{"ReloadDeletes", "Close compacts, and says so", fault{close: compact(true)}},
		{"Resume", "Close compacts, without deletes", fault{close: compact(false)}},
		{"Resume", "Close compacts, and says so", fault{close: compact(true)}},
		{"Resume", "touches are lost", drops(func(w *keyspace.Record) bool { return w.Touch })},
		{"ReloadNumbering", "Last is the highest version that is left", fault{history: func(s *diskStore, h *keyspace.History) {
			h.Last = 100
			for _, w := range s.disk.writes {
				if w.Value != nil {
					h.Last = max(h.Last, w.Version)
				}
			}
		}}},
		{"ReloadNumbering", "a version is given out again", fault{close: func(s *diskStore) error {
			s.disk.last = max(s.disk.last, 101) - 1
			return nil
		}}},
		{"FailedLoad", "Load ignores an error", fault{apply: func(*diskStore, error) error { return nil }}},
		{"FailedLoad", "Load returns another error", fault{apply: func(*diskStore, error) error { return errBroken }}},
		{"FailedLoad", "Load cuts off the writes that it did not apply", fault{apply: func(s *diskStore, err error) error {
			s.disk.writes = s.disk.writes[:len(s.disk.writes)/2]
			return err
		}}},
		{"FailedLoad", "Close needs a Load that succeeded", fault{
			apply: func(s *diskStore, err error) error { s.failed = err; return err },
			close: func(s *diskStore) error { return s.failed },
		}},
		{"Killed", "Commit returns early", fault{late: true}},
		{"Snapshot", "a snapshot keeps the records that it gets", fault{alias: true}},
		{"Snapshot", "a snapshot has no deletes", fault{snapshot: func(_ *diskStore, w *keyspace.Record) bool { return w.Value != nil }}},
		{"Snapshot", "a snapshot has no expiries", fault{snapshot: func(_ *diskStore, w *keyspace.Record) bool {
			w.Expires = time.Time{}
			return true
		}}},
		{"Snapshot", "a snapshot does not keep Forgotten", fault{recall: true}},
		{"ForgottenDeletes", "a snapshot does not keep Forgotten", fault{recall: true}},
	}
}

// compact returns a Close that keeps only the last value of each key.
func compact(honest bool) func(s *diskStore) error {
	return func(s *diskStore) error {
		deleted := map[string]uint64{}
		for _, w := range s.disk.writes {
			if isDelete(&w) {
				deleted[w.Key] = w.Version
				if honest {
					s.disk.forgotten = max(s.disk.forgotten, w.Version)
				}
			}
		}
		s.disk.writes = slices.DeleteFunc(s.disk.writes, func(w keyspace.Record) bool { return w.Version <= deleted[w.Key] })
		return nil
	}
}

func checkOf(name string) check {
	return checks[slices.IndexFunc(checks, func(c check) bool { return c.name == name })]
}

func TestABrokenStoreFails(t *testing.T) {
	t.Parallel()
	for _, b := range brokenStores() {
		t.Run(b.check+"/"+b.how, func(t *testing.T) {
			r := record(t, checkOf(b.check), options(b.fault))
			if len(r.failures) == 0 {
				t.Fatal("the store passes")
			}
			t.Log(r.failures[0])
		})
	}
}

// A store that is not durable must not say that its history goes on.
func TestAStoreThatForgetsAndKeepsItsEpochFails(t *testing.T) {
	o := options(drops(func(*keyspace.Record) bool { return true }))
	o.Durable = false
	if r := record(t, checkOf("Resume"), o); len(r.failures) == 0 {
		t.Error("the store passes")
	}
}

func TestEachCheckFindsABrokenStore(t *testing.T) {
	for _, c := range checks {
		if !slices.ContainsFunc(brokenStores(), func(b broken) bool { return b.check == c.name }) {
			t.Errorf("no store is so broken that %s has to find it", c.name)
		}
	}
}

// A check that a store cannot take part in is skipped, and does not pass.
func TestChecksAreSkipped(t *testing.T) {
	o := options(fault{})
	o.Copy, o.Snapshot = nil, nil
	for _, name := range []string{"Killed", "Snapshot"} {
		if r := record(t, checkOf(name), o); !r.skipped || len(r.failures) > 0 {
			t.Errorf("%s: skipped %v, failures %q; want a skip", name, r.skipped, r.failures)
		}
	}
}
