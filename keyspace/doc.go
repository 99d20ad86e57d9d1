// Package keyspace holds the keys and topics of a real-time database.
//
// A key holds state: the keyspace keeps the key's last value, and sends every write
// to the key's subscribers. A topic holds nothing: the keyspace sends a published
// message to the topic's subscribers and forgets it. Keys and topics are separate
// name spaces.
//
// Values are opaque bytes that are not nil. The package never looks into them. The
// subscribers decide how an update is encoded for their clients. The first
// subscriber that needs an encoding makes it, and the others share it
// ([Update.Encoded]).
//
// # Use
//
// [Open] returns a keyspace with the state that its [Store] holds. A server that reports
// the progress of the load calls [New] and [Keyspace.Load] instead. [Keyspace.Set],
// [Keyspace.Delete], [Keyspace.Write] and [Keyspace.WriteAll] write keys.
// [Keyspace.Get], [Keyspace.GetInOrder] and [Keyspace.List] read them.
// [Keyspace.Publish] sends a message to a topic. [Keyspace.Subscribe] delivers the
// updates of a [Target] (a key, a topic, or a pattern that matches keys or topics) to
// a [Subscriber]. [Keyspace.Shutdown] ends the keyspace and closes the store.
//
// # Guarantees
//
//   - Versions rise with every accepted write to any key. Deletes and expiries are
//     writes, too. A touch, which only sets a time to live, is not.
//   - The writes of one key are one sequence. Every reader and every subscriber
//     sees them in that order. A read that begins after a write was answered sees
//     that write or a later one.
//   - The key's actor evaluates conditions and merges. No other write comes between
//     the value that they see and the value that they write.
//   - A subscriber receives every write from the answer to its Subscribe until the
//     answer to its Unsubscribe. It receives each write once, even if several of
//     its keys and patterns match. There is no order between different keys and
//     topics.
//   - A writer may be answered, and a reader may see the write, before the
//     subscribers receive it. A subscriber that also reads uses
//     [Keyspace.GetInOrder], and so never sees the key go back.
//   - A writer waits for its key's actor, and so for the store. A subscriber makes
//     nobody wait: Deliver must return at once.
//
// # Model
//
// A key at rest is a record: its name and its state. A request spawns the key's actor,
// which handles the key's requests one after the other. The actor ends when there is no
// request, unless it has to remember something: a subscriber, when the key expires, or
// which patterns match. A key without a value and without an actor has no record.
//
// The actor takes all requests that wait in its mailbox. It checks the writes, and
// the store commits the accepted ones with one call. Then the actor makes the key's
// new state visible to readers through an atomic pointer, answers the writers, and
// delivers the updates to the subscribers. Because there is one actor for each key,
// all writers, readers and subscribers of the key agree on the order of its writes.
// Because the state is visible before the answer, a writer can read its own write.
// Because the updates come last, and Deliver returns at once, a writer does not wait for a
// client.
//
// If the store commits at once, or says that its next commit is likely to be brief
// ([BriefStore]), and no more than 128 subscribers had the last update, the goroutine of the request
// is also that of the actor, as long as no other request waits. That of the first request is
// not, while a pattern has more subscribers.
// Two goroutines for a request, which wake each other, took a fifth more CPU for an update
// at 5000 writes a second (BenchmarkFanoutPaced), and a fifth of the rate of writes
// (BenchmarkWrites/inflight=16).
//
// A read loads the state from that pointer, which is in the record. It takes no lock and
// does not use the mailbox, so it can be ahead of the subscribers. Reading a key that does
// not exist creates nothing. GetInOrder, in contrast, asks the actor, so its result has a
// place among the updates.
//
// A store that keeps writes passes them to a [State] when the keyspace is opened, in the
// order in which they were made. A store may pass a write again, because a write that is
// not newer than its key changes nothing. So a store can write a snapshot of the state
// while writers go on ([State].Snapshot), and later apply the snapshot and then all
// writes since the snapshot was begun, although the snapshot has some of them already.
//
// A topic has an actor, too, but only while the topic has a subscriber, or has mail and
// a pattern of a subscriber matches it. This actor delivers the messages, and stores
// nothing.
//
// # Busy keys
//
// A write of a key with 10,000 subscribers is 10,000 deliveries, about a millisecond of
// work for the key's actor, and many times that for the subscribers. Three rules keep it
// from delaying other keys, and make many writes cheap:
//
//   - The actor yields after 4096 deliveries ([actor.Yield]), so that requests of other
//     clients are read.
//   - The subscribers are woken together ([Update.Crowd]). If they are more than 128, they are a
//     crowd, and run behind the subscribers of other keys. If they are fewer, the key's actor may
//     write to them itself ([actor.Crowd.WakeFew]). It often runs on the writer's goroutine.
//   - They are woken when no other request of the key waits, after 5 ms or 64 writes at the
//     latest. If the store may block, each run of writes wakes them at once.
//
// # Bursts
//
// A client may send many writes at once ([Burst]), of one key or of many. If the store is in memory,
// their updates wait until the last write, but not longer than 5 ms, 64 writes or 65,536 deliveries.
// Those with the same subscribers are one bundle: each subscriber gets all of them before the next
// one gets any. So a burst is one write to each client, the memory of a session is fetched once, and
// the goroutine of the client yields once, after the burst. Four rules keep that invisible:
//
//   - Before the actor of a key handles any other request, it delivers the bundle with the key's
//     update, and it wakes the subscribers after the request. So the answer to no write and to
//     no read in order, and no subscriber that comes or goes, can tell that an update waits.
//   - Before the subscribers of a pattern change, the bundles of keys that patterns match are
//     delivered.
//   - The updates of a bundle are in the order of their versions.
//   - The bundle is in flight, as a run is, until its updates are delivered. So no revision passes
//     an update that waits.
//
// # Patterns and snapshots
//
// One trie holds all patterns of keys that have a subscriber, and another one the
// patterns of topics. A trie has a generation and
// a logical clock. The generation changes when a pattern gets its first subscriber
// or loses its last one. The clock rises with each subscription to a pattern.
//
// The actor of a key remembers which sets of subscribers match the key. It looks
// them up again only if the generation has changed. So a pattern costs a key
// nothing until the key is written.
//
// To deliver an update to these sets, the actor holds the trie's lock for reading,
// and notes the clock. A subscription holds the lock for writing. So for each
// update and each subscription, the actor knows which came first: an update that was
// delivered at the subscription's clock or later was delivered to that subscriber.
//
// A snapshot of a pattern follows from that:
//
//  1. The subscription begins. From now on, writes are delivered.
//  2. Subscribe walks through the index of keys. It sends the actor of each key
//     that matches a message, which asks the actor to pass the key's value to the
//     subscriber.
//  3. The actor passes the value, unless it has delivered an update of the key
//     since the subscription began. In that case the subscriber has the value
//     already.
//
// The index may not have a key that was made after the subscription began, but the
// write that made the key was delivered. So the subscriber misses nothing and
// receives nothing twice. No lock covers more than one key, and the subscriber sets
// the pace. There is one exception to "nothing twice": if the subscriber had
// already subscribed to a key by its name, the snapshot may pass a value that the
// subscriber has received.
//
// # Revisions
//
// A revision r is a promise to a subscriber. It comes with a mark ([Mark.Revision])
// or with an update ([Update.Revision]), and says: if you have received everything
// up to this point, you have missed no write with a version of at most r. A
// subscriber that loses its connection later resumes from r.
//
// The highest version that was delivered is not such a revision. A write is in
// flight from before the store gives it a version until the last subscriber has
// received it. Meanwhile, writes of other keys with higher versions may be done.
//
// A run of writes is the writes of one key that the store commits with one call.
// The keyspace has a list of the runs that are in flight. A run enters the list
// before its commit, and leaves the list after the delivery of its last update.
// When it enters, the run gets a bound: the highest version of all writes that are
// done. From this follows the revision:
//
//  1. The store gives each write a version above those of all writes that were
//     committed before. So each write of a run is above the run's bound.
//  2. The highest version that is done never falls. So the bounds never fall along
//     the list.
//  3. So no write in flight is at or below the bound of the first run in the list.
//     That bound is the revision. If the list is empty, the revision is the highest
//     version that is done.
//
// A mark may therefore promise the revision that the keyspace has when the mark is
// made. A write at or below that revision was delivered before the mark, so one of
// three things is true. The subscriber had subscribed, and received the write. Or
// the snapshot passed the write, or a later one of its key, to the subscriber. Or
// the write is older than the writes that the subscriber asked for.
//
// An update may promise more than a mark. [Update.Revision] leaves out the run that
// is being delivered, because the subscriber has received that run up to the
// update.
//
// A revision stays valid. So a subscriber that keeps an older
// revision receives more than it missed when it resumes, and never less.
//
// Versions and revisions belong to a history, which the epoch names
// ([Keyspace.Epoch]). A store that keeps its state keeps the epoch, too, and goes on with
// higher versions, so a revision is valid after a restart. A keyspace in memory begins a
// new history at each start. If its clock was behind at that start, an old revision looks
// like a new one, but has another epoch.
//
// A commit that hangs holds the revision back until it ends. It holds back nothing
// else.
//
// # Resuming
//
// A subscriber that resumes since r is passed each key whose version is above r. A
// delete leaves a tombstone, so that the subscriber is passed the delete. The
// keyspace keeps the newest [RememberedDeletes] tombstones. The subscriber is
// passed everything, and the mark says so ([Mark.Reset]), in three cases:
//
//   - r is below the version of a delete whose tombstone was forgotten.
//   - r is below the version up to which the store had forgotten deletes when the
//     keyspace was opened ([History].Forgotten). A keyspace in memory has forgotten
//     everything from before its start.
//   - r is above all versions that were ever given to a write, or belongs to another
//     epoch, so this keyspace did not promise it.
//
// A restart is not one of these cases if the store keeps the state, because it then keeps
// the deletes that the keyspace remembers, too.
//
// # Expiry
//
// The keys that expire are in one heap with one timer. Keys that do not expire cost
// nothing. A key that is due gets a message, which asks its actor to delete the
// key. A write that the actor accepted before this message wins. If many keys are
// due together, 64 of them are asked each millisecond: 100,000 keys take some 2 s,
// and the median time of a write stays the same (BenchmarkSetWhileKeysExpire). The
// delete is a write like any other. Keys that expired while the keyspace was closed are
// due as soon as the state is loaded.
//
// A touch changes when a key expires. The store commits it, but it has no version, and
// no subscriber is told.
//
// # Several keyspaces on one store
//
// Several servers may share one store ([SharedStore]). Each has a keyspace with all keys. The
// store puts the writes of all into one order:
//
//  1. An actor plans a run as always, and proposes it with the position of the key's newest
//     record that it has applied.
//  2. If that is the newest record of the store, the store accepts the run. So the actor has
//     missed nothing, and may apply the run and tell its subscribers at once.
//  3. If it is not, the feed brings the records that the actor lacks. The actor applies them,
//     tells its subscribers, plans the run anew, and proposes it again.
//  4. The feed brings the records of the other keyspaces to the actors ([Feed]). A record
//     that an actor has applied already changes nothing.
//
// So of two writers that race on different servers, exactly one is first, and the condition
// or the merge of the other one sees its value. A refusal must rest on the newest state, too.
// If no write of the run was accepted, a barrier of the store proves that.
//
// The revision is a version that the feed has reached, and up to which every record has been
// delivered. It is not the version of the newest write of this keyspace, because a write of
// another one, with a lower version, may still be on its way. A subscriber that comes from
// another server may know a higher revision than this keyspace. Then its Subscribe waits up
// to a second: the subscriber has seen writes that are not delivered here yet, and must not
// see them after newer ones.
//
// One keyspace is the first to delete a key that has expired; the others wait a second.
//
// If the store is a [Bus], too, the messages of topics reach the subscribers on all
// keyspaces, at most once. The keyspace tells the bus which topics and patterns of topics have
// a subscriber, before Subscribe returns. A message from another keyspace goes to the topic's
// actor, like one that was published here. After a gap of unknown size, each subscriber of
// topics gets an update that says so ([Update.Missed]).
//
// # Failure
//
// If the store refuses a write, the write takes no effect, and the writer gets
// [ErrUnavailable]. If the store refuses an expiry, the keyspace tries again.
//
// A store that has little room left makes the keyspace refuse values before a write fails
// (Options.Refuse). Until there is room, writes that store a value, and touches, get
// ErrUnavailable and the reason. Deletes and expiries go on.
//
// If the state cannot be loaded, Open and Load return the store's error. A Shutdown during
// Load ends it with [ErrClosed].
//
// A panic stops the actor of one key or topic. The requests that the actor had not
// answered get [ErrInternal], except an unsubscribe, which succeeds. A successor
// takes over with the state that readers saw last, the same subscribers, and the
// same expiry. If a subscriber's Deliver panicked, other subscribers may miss the
// updates of that run. A subscriber that resumes from a revision before that run is
// passed everything. While a bundle is delivered, such a panic stops no actor, and costs no other
// update. Only the first one of a bundle is reported.
//
// # Cost
//
// A key at rest, without subscribers, is two structs and an entry in a table and in the
// index. It takes 121 bytes, besides its name and its value (BenchmarkKeyAtRest), and it
// has no goroutine. It took 370 bytes when it kept its actor and was found in a sync.Map.
// To spawn the actor again costs a write 0.25 µs (BenchmarkSet/idle).
//
// A thousand patterns that do not match cost a write nothing that can be measured:
// the write takes 1.00 times the time of a write without patterns
// (BenchmarkSetBesidePatterns).
//
// A snapshot of 100,000 keys takes 150 ms. To resume when nothing has changed takes
// 14 ms (BenchmarkSubscribePattern).
//
// A listing holds the index's lock for 256 keys at a time. While listings of a
// million keys run without a pause, a write that makes a key takes 24 µs, not 6 µs;
// at the 99.9th percentile it takes 92 µs, not 48 µs (BenchmarkWalk). An overwrite
// does not touch the index.
package keyspace
