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

	// Slow says that a commit takes about a millisecond. The check that deletes 65,536 keys
	// is left out then.
	Slow bool

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
	slow    bool // it makes very many commits
	run     func(tb testing.TB, o Options)
}

var checks = []check{
	{name: "Numbering", run: checkNumbering},
	{name: "Touch", run: checkTouch},
	{name: "Concurrency", run: checkConcurrency},
	{name: "Cancel", run: checkCancel},
	{name: "Panic", run: checkPanic},
	{name: "CloseWithoutLoad", run: checkCloseWithoutLoad},
	{name: "Epoch", run: checkEpoch},
	{name: "Reload", durable: true, run: checkReload},
	{name: "ReloadRandom", durable: true, run: checkReloadRandom},
	{name: "ReloadExpiry", durable: true, run: checkReloadExpiry},
	{name: "ReloadDeletes", durable: true, run: checkReloadDeletes},
	{name: "ReloadNumbering", durable: true, run: checkReloadNumbering},
	{name: "FailedLoad", durable: true, run: checkFailedLoad},
	{name: "Killed", durable: true, run: checkKilled},
	{name: "Snapshot", durable: true, run: checkSnapshot},
	{name: "Resume", run: checkResume},
	{name: "ExpiredMeanwhile", durable: true, run: checkExpiredMeanwhile},
	{name: "ForgottenDeletes", durable: true, slow: true, run: checkForgottenDeletes},
}

// Run tests a store. Each part of the contract is a subtest.
func Run(t *testing.T, o Options) {
	for _, c := range checks {
		if (!c.durable || o.Durable) && !(c.slow && o.Slow) {
			t.Run(c.name, func(t *testing.T) { c.run(t, o) })
		}
	}
}
