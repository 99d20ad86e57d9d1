// Package bench measures how much load an rtdb server can carry. It connects
// publishers and subscribers over WebSocket, as any client would, and reports how
// many updates the server delivers, how late they arrive, and how much processor
// time and memory a delivery and a connection cost. It is the package behind the
// command rtdb bench, and imports no other package of this module.
//
// # Use
//
// Fill in [Options], call [Run], and print the [Report]:
//
//	report, err := bench.Run(ctx, options)
//	if err != nil {
//		return err // the run failed: there is no report
//	}
//	report.WriteTo(os.Stdout)
//	return report.Err() // not nil if the server lost or altered something
//
// # Rules
//
//   - Each key has one publisher and a fixed set of subscribers.
//   - A value carries the time at which its write was due, and its sequence number:
//     the nth write of a key has the number n.
//   - With a rate, writes are due at fixed times, even if the server is slow. A latency
//     counts from the time at which the write was due, not from when it was sent.
//   - Without a rate, publishers wait for the subscribers, so that the server has no
//     reason to conflate updates. A latency counts from when the write was sent.
//   - The versions and the sequence numbers of a key's updates must rise, and no value
//     may change on the way. Anything else is a violation.
//   - When the publishers are done, they read back their keys. Every subscriber must
//     receive the last update of each of its keys. A last update that does not arrive at
//     a subscriber is lost.
//   - An update that is missing, but followed by a newer one, counts as conflated.
//
// # The same in everyday words
//
// If a server stops for a second, then all the writes that were due in that second
// are late, and the report says so. A load generator that waits for each reply would
// report one late write instead.
//
// The contract allows the server to conflate updates for a client that is behind. A
// client cannot tell such an update from one that was lost on the way, so a high
// number of conflated updates deserves a second look.
//
// # Phases of a run
//
// The run connects all clients and subscribes. It then measures: the publishers write
// for the given duration. Then it settles: the publishers read back their keys, and
// the subscribers receive the updates that are still on their way. At the end it
// closes the subscribers, deletes the keys and closes the publishers. Each run uses a
// new key prefix.
//
// # Slow clients
//
// Some subscribers can be made to read slowly. No publisher waits for them, and their
// latencies are reported apart. When the run settles they read at full speed, and must
// reach the same state as all others.
//
// # Meaning of the figures
//
// Latencies have a resolution of one microsecond and three digits, and include the
// time that this process needs to send and to receive. All times come from this
// process's clock. The server's processor time covers everything it did from the first
// write to the end of settling, divided by the deliveries: at a low rate it is mostly
// the cost of the writes. The memory of a connection is the growth of the server's
// resident memory while the run connected, divided by the connections; a server that
// has freed memory from an earlier run reuses it, so measure a fresh one.
//
// # Limits
//
// Processor time and memory of the server are known only on Linux, and only if the
// server runs on this machine, outside a container, as a process that this user may
// inspect. This process takes its share of the machine: to leave the whole machine to
// the server, run bench on another one. This process needs about 20 KiB of memory for
// each subscriber, and 16 bytes for each key that a subscriber subscribes to.
package bench
