// Package storetest tests that a [keyspace.Store] keeps its contract.
//
// # Use
//
// A store's package calls [Run] from a test, with a function that opens the store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Options{
//			Durable: true,
//			Open:    func(tb testing.TB, dir string) keyspace.Store { … },
//		})
//	}
//
// # Tests
//
// One half of the checks calls the store as a keyspace does. After the store was opened
// again, they compare the writes that it applies with a plain map. The other half opens a
// [keyspace.Keyspace] on the store, and sees it as a client does: values, updates, and
// subscribers that resume over a restart.
//
//   - Numbering: versions rise within a commit, over all commits, and over a restart. A
//     touch has no version of its own.
//   - Concurrency: if one commit begins after another one has returned, its versions are
//     higher. A caller that gives up, or panics, harms no other caller.
//   - Ownership: a commit changes nothing but versions, and does not use the caller's
//     slice after it has returned.
//   - Durability, of a durable store: a store that is opened again applies every write,
//     touch and delete, and keeps its epoch. So does one whose process was killed, if
//     [Options].Copy is set.
//   - Failure: an error of State.Apply ends Load, and harms nothing.
//
// In other words: if the suite passes, a client cannot tell a durable store from one that
// never stops. Power cuts and failures of the disk are left to each store's own tests.
//
// The suite is tested with stores that are broken on purpose: each of them fails.
package storetest
