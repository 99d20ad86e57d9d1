// Package session is one client's actor. A session keeps the client's subscriptions,
// the messages that wait for it, and the wills that are written when it is gone.
//
// # How it is used
//
// The transport makes a [Session] for each connection, over a [Conn] that writes
// to the client. The client's reader, in the transport, calls Subscribe, Unsubscribe, Get,
// Reply and SetWill, one at a time. The keyspace's actors call
// Deliver. At the end the reader calls Close or Abort, and then End.
//
// # Rules
//
//   - Deliver never blocks. An update goes into the session's outbox; the
//     session's actor hands waiting messages to the Conn, many at a time.
//   - Replies and updates have one order. The actor of a key queues the reply to a
//     subscribe, and to a get of a key that the client is subscribed to, in its
//     place among the key's updates. Nothing of a target comes after the reply to
//     its unsubscribe.
//   - The messages that wait for a slow client are bounded: by its subscriptions, by
//     Options.MaxPendingBytes, and by the client's own requests.
//   - A client that asks for more than it reads slows only itself.
//   - The cause of the end is the first that is given.
//
// An idle session has no goroutine. With Options.Pool a session has a goroutine of
// its own only while its client is slow to read.
//
// # Busy keys
//
// An update that goes to very many subscribers ([keyspace.Update.Crowd]) wakes their
// sessions as a crowd. The pool runs a crowd after the other sessions, so a key that is
// written as fast as its subscribers read does not delay other keys. A session that waits
// to run as a part of a crowd keeps its place, also if another key's update joins it.
//
// # Slow clients
//
// Up to 256 updates and 64 KiB wait one by one. A client for which more waits has
// fallen behind. From then on, until the outbox is empty, an update replaces the older
// update of its key that waits (conflation, in conflate.go). So the waiting
// updates are bounded by the number of keys, and the client ends at the current state. An
// update never moves across a reply that waits before it.
//
// A client lags if it has fallen behind, or if the oldest update that waits for it is
// older than 1 s. So a client that takes nothing lags although little waits, but its
// updates are not conflated. An update waits until the Conn has sent it. Options.OnLag
// reports the lag, and [Session.Inspect] returns it. A session in a pool has a timer for
// this only if its client did not take everything at once (lag.go).
//
// Messages of topics cannot be conflated. While more than MaxPendingBytes of them
// wait, further ones are dropped; before the next message of the topic the client
// is told how many it missed. The notice that an unknown number of messages was lost on
// the way to the keyspace ([keyspace.Update.Missed]) is never dropped. It is merged with an
// equal one that waits if nothing came between, and it stands for the messages that were
// dropped before it, too. A session that misses messages of so many topics that
// their names take more than 4 MiB ends with [ErrTooManyMissed]. Replies and snapshots,
// which the client asked for, make the reader wait for space in the outbox. A snapshot is
// read from the keys as fast as the client takes it, and is cut short only if the client
// leaves (StopSnapshot).
//
// # Life
//
// A session is in one of four phases (life.go). It never goes back.
//
//	         Close                               all is sent
//	open ──────────────────► closing ─────────────────────────► Conn.Close
//	 │                          │                                    ▲
//	 │ Drain                    │ Abort                              │
//	 ├─────────► draining ──────┤                                    │
//	 │                          ▼                                    │
//	 └──── Abort ────────────► ended ────────────────────────────────┘
//
// In each phase the session does the following.
//
//   - open: it accepts messages and sends them.
//   - draining: it accepts nothing and sends the waiting messages. The client closes the
//     connection, so the session does not.
//   - closing: it accepts nothing and sends the waiting messages. Then Conn.Close tells
//     the client why the session ends.
//   - ended: it sends nothing more and drops the waiting messages. Conn.Close tells the
//     client why, if the connection still allows that.
//
// End waits until the actor has done the work of the phase. Then it ends the
// subscriptions, and last it carries out the wills. The client comes first because
// it must not wait for the actors of its keys. The wills come last because the
// session must not receive them. A will is a whole change: its condition is decided when
// it is carried out.
package session
