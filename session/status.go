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
	Lagging       bool
}

// A Lag says how far behind a client is.
type Lag struct {
	PendingKeys  int           // keys and topics of which an update waits; an estimate if very many do
	PendingBytes int64         // bytes that wait, replies included
	Behind       time.Duration // since the oldest update that waits was written
}
