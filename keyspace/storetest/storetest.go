package storetest

import (
	"testing"

	"rtdb/keyspace"
)

// Options describe the store that is tested.
type Options struct {
	// Open opens the store of a directory, without loading it. The suite makes the
	// directory, and closes the store. A durable store that was closed is opened again
	// with the same directory. If the store cannot be opened, Open calls tb.Fatal.
	Open func(tb testing.TB, dir string) keyspace.Store

	// Durable says that the store keeps all writes, all deletes that its state
	// remembers, and the epoch, until it is opened again.
	Durable bool

	// Copy, if it is not nil, copies the directory of a store that is open. The copy has
	// the files that the process leaves if it is killed now.
	Copy func(tb testing.TB, dir string) (copied string)

	// Snapshot, if it is not nil, makes the store call State.Snapshot, and replace the
	// writes that it has kept with the snapshot. It is called after Load and before Close.
	Snapshot func(s keyspace.Store) error
}

// A check tests a part of the contract. It may end with tb.Fatal.
type check struct {
	name    string
	durable bool // only for durable stores
	run     func(tb testing.TB, o Options)
}

var checks = []check{
	{"Numbering", false, checkNumbering},
	{"Touch", false, checkTouch},
	{"Concurrency", false, checkConcurrency},
	{"Cancel", false, checkCancel},
	{"Panic", false, checkPanic},
	{"CloseWithoutLoad", false, checkCloseWithoutLoad},
	{"Epoch", false, checkEpoch},
	{"Reload", true, checkReload},
	{"ReloadRandom", true, checkReloadRandom},
	{"ReloadExpiry", true, checkReloadExpiry},
	{"ReloadDeletes", true, checkReloadDeletes},
	{"ReloadNumbering", true, checkReloadNumbering},
	{"FailedLoad", true, checkFailedLoad},
	{"Killed", true, checkKilled},
	{"Snapshot", true, checkSnapshot},
	{"Resume", false, checkResume},
	{"ExpiredMeanwhile", true, checkExpiredMeanwhile},
	{"ForgottenDeletes", true, checkForgottenDeletes},
}

// Run tests a store. Each part of the contract is a subtest.
func Run(t *testing.T, o Options) {
	for _, c := range checks {
		if !c.durable || o.Durable {
			t.Run(c.name, func(t *testing.T) { c.run(t, o) })
		}
	}
}
