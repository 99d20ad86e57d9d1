package session

import "time"

// Stats count the updates of a session.
type Stats struct {
	Delivered uint64 // updates sent
	Conflated uint64 // updates that a newer one of their key replaced
	Dropped   uint64 // topic messages dropped because too many waited, and updates unsent at the end
	Missed    uint64 // the topic messages among them
}

// A Status has the counts of a session so far, and how far behind its client is.
type Status struct {
	Stats             // without the updates that wait
	Lag               // how far behind the client is; PendingKeys is not counted
	Subscriptions int // targets that the session is subscribed to

	// Lagging reports that the client has fallen behind, so that updates of the same
	// key are conflated, or that the oldest update that waits is older than 1 s.
	Lagging bool
}

// A Lag says how far behind a client is. A message waits until the system has taken it.
// Messages that the Conn has, and has not sent, are counted until it has sent all of them.
type Lag struct {
	PendingKeys  int           // keys and topics of which an update waits; an estimate if very many do
	PendingBytes int64         // bytes that wait, replies included
	Oldest       time.Duration // since the oldest update that waits was written; 0 if none waits
}
