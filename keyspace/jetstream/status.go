package jetstream

import "time"

// A Status has the figures of a node.
type Status struct {
	Connected bool          // to a NATS server
	Ready     error         // why the node is not ready; nil: it is
	Place     uint64        // the sequence up to which the feed has brought all messages
	Waiting   int           // messages that wait for the feed
	Lag       time.Duration // the time since the newest beat that came back was sent, less one interval
	InFlight  int           // proposals that wait for the stream's answer
	Peers     int           // other nodes that are alive

	// Counts since the start.
	Conflicts  uint64 // proposals that another node's write came before
	Unknown    uint64 // proposals whose outcome was not known at the end
	Filled     uint64 // messages that the feed missed and read from the stream
	Foreign    uint64 // messages that rtdb has not made
	Reconnects uint64 // connections after the first
}

// Status returns the figures of the node. It may be called at any time.
func (s *Store) Status() Status {
	x := Status{
		Connected: s.conn.IsConnected(), Ready: s.Ready(), Place: s.place.now(),
		InFlight: s.proposals.inFlight(), Peers: s.nodes.alive(),
		Conflicts: s.counts.conflicts.Load(), Unknown: s.counts.unknown.Load(), Filled: s.counts.filled.Load(),
		Foreign: s.counts.foreign.Load(), Reconnects: s.counts.reconnects.Load(),
	}
	if !s.loaded.Load() {
		return x
	}
	x.Waiting, _, _ = s.fed.Pending()
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	x.Lag = max(0, time.Since(s.heart.heardAt)-beatInterval)
	return x
}
