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
// # Shared stores
//
// [RunShared] tests a [keyspace.SharedStore] with up to three keyspaces on it:
//
//   - Decisions: of several writers with the same condition, one wins. No merge is lost.
//     Refusals, too, rest on the newest state. Histories of racing clients are linearizable.
//   - Feed: the subscribers of all keyspaces receive each write once, in one order for each
//     key. A revision is never above a write that was not delivered. Touches and expiries
//     reach all keyspaces, and a key that expires is deleted once.
//   - Moves: a client that goes to another keyspace resumes without a reset. A keyspace that
//     is opened while others write misses nothing.
//   - Topics, of a store that is a [keyspace.Bus]: each message arrives once and in order.
//
// The suite needs a healthy network. Faults of the network are left to each store's own
// tests. [Hub] is a model of a shared store. It loses answers, cuts keyspaces off, and passes
// records twice, if a test of a keyspace wants that.
//
// The suite is tested with stores that are broken on purpose: each of them fails.
package storetest
