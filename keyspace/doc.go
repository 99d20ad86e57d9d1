// Package keyspace holds the keys and topics of a real-time database.
//
// A key holds state: its last value is kept, and every write is sent to its
// subscribers. A topic holds nothing: what is published is sent to its
// subscribers and forgotten. Keys and topics are separate name spaces. The
// package knows values only as bytes that are not nil.
//
// # Model
//
// Every key is owned by an actor, spawned by the first write or subscription
// and retired when it has neither a value nor a subscriber. The actor
// serializes the writes: it takes what waits, has the [Store] commit it with
// one call, publishes the last state through an atomic pointer, answers the
// writers, and tells the subscribers. A topic's actor is there only while
// somebody subscribes.
//
// A read loads what the actor published. It takes no lock and no mailbox, and
// reading a key that is not there creates nothing.
//
// # Guarantees
//
//   - Versions rise with every accepted write to any key, deletes and expiries
//     included.
//   - One key's writes are one sequence, seen in that order by every reader
//     and every subscriber. A read that begins after a write was answered
//     sees that write or a later one.
//   - Conditions and merges are the key's actor's: nothing comes between what
//     they see and what they write.
//   - A subscriber is told of every write after its Subscribe was answered,
//     once, however many of its names and patterns match, until its
//     Unsubscribe was answered. Between names there is no order. A writer may
//     have its answer before subscribers are told, and so may a reader see a
//     write before they do: one who is both told and asks uses GetInOrder, and
//     never sees the key go back.
//   - A writer waits for its key's actor, and so for the store. A subscriber
//     makes nobody wait: Deliver must return at once.
//
// # Patterns and snapshots
//
// The patterns are one trie, with a clock that rises with each subscription. A
// key's actor keeps the sets of subscribers that match it, and looks again only
// when the trie's shape moved; so a pattern costs a key nothing until the key
// is written. To tell them it holds the trie's lock for reading, and notes the
// clock. A subscription takes the lock for writing. So of each update and each
// subscription one was first, and the key's actor knows which: what it told at
// the subscription's clock or later, the subscriber was told.
//
// A snapshot of a pattern follows from that. First the subscription begins;
// then each key in the index that matches is asked, by a message to its actor,
// to pass what it holds, unless it has told the subscriber since. A key that
// was made after the beginning has told him. So there is no gap and nothing
// twice, without a lock on more than one key, and the subscriber's pace is its
// own. One who subscribed to a key before, by its name, is passed what he may
// have been told.
//
// # Revisions
//
// A revision r is a promise: who has been told all up to a point has missed no
// write with a version of at most r. A write is in flight from before the store
// numbers it until the last subscriber is told; meanwhile writes of other keys
// with higher versions may be done. So the highest version that was told is no
// such r.
//
// Every run of writes is in a list from its beginning to its end, with a bound:
// the highest version that was done when it began. The store numbers a write
// above all that were committed before, so each write of a run is above its
// bound; and bounds rise along the list. So no write that is in flight is at or
// below the first run's bound, and that is the revision; where nothing is in
// flight it is the highest version done. A mark that is set then promises it
// rightly: what is at or below it was told before the mark, to a subscriber
// who had subscribed; if he had not, the snapshot has passed it to him, or it
// is older than what he subscribed to. [Update.Revision] leaves out the run
// that is being told, for of that all up to the update was told. A promise that
// was right stays right, so whoever keeps an older one is told more than he
// missed, and never less.
//
// A commit that hangs holds the revision back until it ends, and nothing else.
//
// Who resumes since r is passed each key whose version is above r. Deletes
// leave tombstones, the newest [RememberedDeletes]. Where r is below one that
// was forgotten, below what the store had at the start, or above all that was
// ever promised, he is passed everything, and told so.
//
// # Expiry
//
// Keys that expire are in one heap with one timer; the others know nothing of
// it. A key that is due is asked by a message to its actor, so a write that was
// accepted before it wins. Keys that are due together are asked in bursts of 64
// each millisecond: 100,000 take some 2 s, in which the median of a write stays
// what it was (BenchmarkSetWhileKeysExpire). The delete is a write like any
// other.
//
// # Failure
//
// A write that the store refuses takes no effect ([ErrUnavailable]); an expiry
// is tried again. A panic stops one key's actor: what it was handling is
// answered with [ErrInternal], and an heir goes on with the state last
// published, the same subscribers and expiry. Where a subscriber's Deliver
// panicked the others may miss that run's updates; who resumes from before it
// is passed everything.
//
// # Cost
//
// A key at rest, without subscribers, is one struct and its entries in two maps
// and the index: 340 bytes besides its name and value (BenchmarkKeyAtRest), and
// no goroutine. A thousand patterns that do not match cost a write nothing that
// can be measured: 1.00 times the time with none (BenchmarkSetBesidePatterns).
// A snapshot of 100,000 keys takes 150 ms, to resume with nothing changed 14 ms
// (BenchmarkSubscribePattern). A listing holds the index for 256 keys at a time:
// while a million are walked again and again, a write that makes a key takes 24
// instead of 6 µs, 92 instead of 48 at the 99.9th percentile (BenchmarkWalk).
// An overwrite does not touch the index.
package keyspace
