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
//   - Versions rise with every accepted write to any key, deletes included.
//   - One key's writes are one sequence, seen in that order by every reader
//     and every subscriber. A read that begins after a write was answered
//     sees that write or a later one.
//   - A subscriber is told of every write after its Subscribe was answered,
//     once, until its Unsubscribe was answered. Between names there is no
//     order. A writer may have its answer before subscribers are told, and
//     so may a reader see a write before they do: one who is both told and
//     asks uses GetInOrder, and never sees the key go back.
//   - A writer waits for its key's actor, and so for the store. A subscriber
//     makes nobody wait: Deliver must return at once.
//
// # Failure
//
// A write that the store refuses takes no effect ([ErrUnavailable]). A panic
// stops one key's actor: what it was handling is answered with [ErrInternal],
// and an heir goes on with the state last published and the same subscribers.
//
// # Cost
//
// A key at rest, without subscribers, is one struct and two entries in maps:
// 304 bytes besides its name and value (BenchmarkKeyAtRest), and no goroutine.
package keyspace
