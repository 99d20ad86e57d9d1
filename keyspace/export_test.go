package keyspace

// Names returns the number of keys and topics that take memory.
func (ks *Keyspace) Names() (keys, topics int) {
	for range ks.records.all() {
		keys++
	}
	for range ks.topics.actors() {
		topics++
	}
	return keys, topics
}

// Actors returns the number of keys that have an actor.
func (ks *Keyspace) Actors() (n int) {
	for range ks.keys.actors() {
		n++
	}
	return n
}

// Expiries returns the number of keys that wait to expire.
func (ks *Keyspace) Expiries() int {
	ks.expiries.mu.Lock()
	defer ks.expiries.mu.Unlock()
	return len(ks.expiries.heap)
}

// Positions returns the number of keys whose newest record did not make their state.
func (ks *Keyspace) Positions() (n int) {
	for i := range ks.feed.shards {
		s := &ks.feed.shards[i]
		s.mu.Lock()
		n += len(s.positions)
		s.mu.Unlock()
	}
	return n
}

// Waiting returns the number of keys that have records that wait for their actors.
func (ks *Keyspace) Waiting() (n int) {
	for i := range ks.feed.shards {
		s := &ks.feed.shards[i]
		s.mu.Lock()
		n += len(s.waiting)
		s.mu.Unlock()
	}
	return n
}

// InFlight returns the number of runs that are in flight.
func (ks *Keyspace) InFlight() (n int) {
	ks.progress.mu.Lock()
	defer ks.progress.mu.Unlock()
	for r := ks.progress.first; r != nil; r = r.next {
		n++
	}
	return n
}
