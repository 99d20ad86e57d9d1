// Package bench loads a server by its wire contract, as any client would, and
// says what the machine can take: how much it delivers, how late, and what a
// delivery and a connection cost.
//
// # Model
//
// Each key is written by one publisher and is subscribed to by some of the
// subscribers. A value carries when its write was due and which write of its
// key it is, so that a subscriber knows of each update how late it came and how
// many before it did not come. All clocks are this process's.
//
// With a rate the loop is open: the writes are due at fixed times, whatever the
// server does, and a latency counts from when the write was due, not from when
// it was sent. A server that stops for a second is late for all that was due in
// that second. Without a rate the publishers wait for the subscribers, so that
// none falls as far behind as to have its updates conflated; a latency then
// counts from when the write was sent.
//
// # What is checked
//
// The versions and the numbers of a key's updates rise, and nothing is altered
// on the way. Once the publishers are done each of them asks what its keys hold,
// and every subscriber must come to that: what does not arrive is lost. An
// update that was skipped and followed by a newer one is conflated, which the
// contract allows for a client that is behind; from outside it cannot be told
// from one that was lost on the way.
//
// # Slow clients
//
// Some of the subscribers can be made to read slowly. Nobody waits for them,
// and their latencies are reported apart; at the end they read as fast as they
// can, and must come to the same state as all others.
//
// # Limits
//
// The processor time and the memory of the server are known only on Linux, of a
// process on this machine that this user may look at. This process takes its
// share of the machine: to leave the server all of it, run bench on another.
// Memory is some 20 KiB for each subscriber and 16 bytes for each of its keys.
//
// The keys have a prefix of their own each run, and are deleted at the end.
package bench
