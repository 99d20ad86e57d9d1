package storetest

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"rtdb/keyspace"
)

// SharedOptions describe the shared store that is tested.
type SharedOptions struct {
	// Open opens one more store of a name, without loading it. All stores of a name share one
	// state, and that of a new name is empty. A name has up to 20 letters. The suite closes
	// the store. If the store cannot be opened, Open calls tb.Fatal.
	Open func(tb testing.TB, name string) keyspace.SharedStore

	// Lag is how long a healthy store may take until all keyspaces have a write. 0 means
	// 10 seconds.
	Lag time.Duration
}

// A sharedCheck tests how the keyspaces of one shared store see each other's writes. It may
// end with tb.Fatal.
type sharedCheck struct {
	name string
	run  func(c *cluster)
}

var sharedChecks = []sharedCheck{
	{"SharedConditions", checkSharedConditions},
	{"SharedMerges", checkSharedMerges},
	{"SharedNewest", checkSharedNewest},
	{"SharedRuns", checkSharedRuns},
	{"SharedLinear", checkSharedLinear},
	{"SharedOrder", checkSharedOrder},
	{"SharedRevision", checkSharedRevision},
	{"SharedTouch", checkSharedTouch},
	{"SharedTouchRace", checkSharedTouchRace},
	{"SharedExpiry", checkSharedExpiry},
	{"SharedResume", checkSharedResume},
	{"SharedAhead", checkSharedAhead},
	{"SharedJoin", checkSharedJoin},
	{"SharedRejoin", checkSharedRejoin},
	{"SharedTopics", checkSharedTopics},
}

// RunShared tests a shared store with up to three keyspaces. Each part of the contract is a
// subtest.
func RunShared(t *testing.T, o SharedOptions) {
	for _, c := range sharedChecks {
		t.Run(c.name, func(t *testing.T) { c.run(newCluster(t, o, c.name)) })
	}
}

// A cluster is the keyspaces on the stores of one name.
type cluster struct {
	testing.TB
	o     SharedOptions
	name  string
	store keyspace.Store // of the keyspace that was opened last
}

func newCluster(tb testing.TB, o SharedOptions, name string) *cluster {
	o.Lag = cmp.Or(o.Lag, 10*time.Second)
	return &cluster{TB: tb, o: o, name: name}
}

// join opens one more keyspace.
func (c *cluster) join() *keyspace.Keyspace {
	c.Helper()
	ks, store := openKeyspace(c, Options{Open: func(tb testing.TB, _ string) keyspace.Store { return c.o.Open(tb, c.name) }}, "")
	c.store = store
	return ks
}

// await waits until a condition holds.
func (c *cluster) await(what string, holds func() bool) {
	c.Helper()
	deadline := time.NewTimer(c.o.Lag)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline.C:
			c.Fatalf("%s: not within %v", what, c.o.Lag)
		}
	}
}

// mustWrite makes a change, which has to succeed.
func (c *cluster) mustWrite(ks *keyspace.Keyspace, key string, change keyspace.Change) keyspace.Entry {
	c.Helper()
	e, err := ks.Write(context.Background(), key, change)
	if err != nil {
		c.Errorf("a write of %s: %v", key, err)
	}
	return e
}

func setTo(v string) keyspace.Change { return keyspace.Change{Value: []byte(v)} }

// onlyAt returns a change with the condition that the key has a version.
func onlyAt(version uint64, change keyspace.Change) keyspace.Change {
	change.If = func(v uint64) bool { return v == version }
	return change
}

// increment is a Merge that counts.
func increment(old []byte) ([]byte, error) {
	n := 0
	if old != nil {
		if _, err := fmt.Sscan(string(old), &n); err != nil {
			return nil, err
		}
	}
	return fmt.Append(nil, n+1), nil
}
