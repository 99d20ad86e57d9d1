// Package actor is a mailbox runtime: an [Actor] owns some state and handles the
// messages that are sent to it, one batch at a time.
//
// An actor is a struct with a mailbox and a handler. Any goroutine may send messages to
// the mailbox. The handler receives them in batches, on one goroutine at a time.
//
// A goroutine exists only while there are messages. The send that finds the actor idle
// starts the goroutine, and the goroutine ends when the mailbox is empty. So a million
// idle actors are a million structs without a stack. An actor loses nothing when it
// becomes idle, because its state is in its struct and nothing has to be saved.
//
// # Use
//
// Put an Actor, by value, into the struct that owns the state. Call [Actor.Init] once with
// the handler, or [Actor.InitHandler]. Then:
//
//   - Send a message with [Actor.Send], which waits for room in the mailbox, or with
//     [Actor.TrySend], which never waits.
//   - Use only TrySend between actors: two actors that Send to each other can wait for
//     each other for ever.
//   - Stop the actor with [Actor.Shutdown], or with [Actor.Retire] if it must stop only
//     when no messages wait.
//
// The package's examples show an actor that owns a counter, and actors that share a
// [Pool].
//
// # Invariants
//
//   - An actor with messages in its queue is running, or is scheduled in its pool. The
//     queue and this state change under one lock, so no wake-up is lost.
//   - Messages are handled in the order in which they were accepted. Senders that wait
//     for room are accepted in the order in which they came. So messages from one
//     goroutine are handled in the order in which it sent them.
//   - At most Capacity messages wait. The batch that is being handled is not counted; it
//     has at most Capacity messages too. When the queue is full, Send waits and TrySend
//     returns ErrFull.
//   - If a send returned nil, its message is handled, or HandlePanic receives it in
//     Panic.Lost. If a send returned an error, its message was not accepted.
//   - The handler runs on one goroutine at a time, and each batch happens before the next
//     one (in the sense of the Go memory model). State that only the handler uses needs
//     no lock.
//   - An actor on a goroutine of its own has two slices for messages: the queue and the
//     batch. It swaps them for each batch, clears a slice before it uses it again, and
//     releases both when it becomes idle.
//
// In other words: a handler is ordinary single-threaded code, a sender always learns
// whether its message was accepted, and an idle actor costs only its struct.
//
// # Pools
//
// Actors whose handlers never block can share a [Pool]. Its few goroutines run the actors
// that have messages, in rounds of the pool's Interval. An actor runs once in a round. So an
// actor that receives messages all the time handles many of them at once. An actor that was
// idle runs at once. An actor whose sender waits for it before it sends more can do so, too
// ([Actor.Waited]). Messages are delayed by at most Interval, plus the time that the work
// itself takes.
//
// A sender that wakes many actors at once uses a [Crowd]: these run behind the others, but
// get a share of the workers' time at any load. A sender of a few can run them itself
// ([Crowd.WakeFew]).
//
// A sender can handle the messages itself, without waiting for the pool, with
// [Actor.TryRun]. This also saves a goroutine if the actor has no pool. A handler that has to block calls [Actor.Detach]. Its actor then has a
// goroutine of its own until it becomes idle.
//
// # Failure
//
// A panic in a handler stops that actor only. Senders that wait for room get ErrStopped,
// and so do all later senders. HandlePanic receives the stack, and the messages that were
// accepted and not handled, so that the owner can answer their senders.
// If Init was called without an OnPanic, a panic ends the process. runtime.Goexit in a handler counts
// as a panic, but never ends the process.
//
// # Ending
//
// Retire stops an actor that has no messages. Its owner then forgets it. A sender that
// still has a pointer to it gets ErrStopped, and looks up the actor that replaced it.
// Shutdown refuses new messages, waits until the accepted ones are handled, and returns.
// Both may be called at any time and more than once.
//
// # Cost
//
// The alternative is a goroutine and a buffered channel for each actor. Both were measured
// in one run on two cores of an AMD EPYC (go test -bench . ./actor). The last column is
// actor divided by channel:
//
//	                                        actor            goroutine and channel
//	send to a busy actor, until handled     21 ns, 0 allocs  81 ns, 0 allocs   0.26
//	send to an idle actor, and its answer   500 ns, 1 alloc  360 ns, 0 allocs  1.4
//	an idle actor                           64 B in its      4.9 KB            0.02
//	                                        owner, 100 B
//	                                        with closures
//
// The busy actor is faster because it takes a whole batch with one lock. The idle actor is
// slower because the send starts a goroutine; in return, it needs no stack while it is
// idle.
package actor
