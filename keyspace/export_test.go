package keyspace

// Names returns the number of keys and topics in the directories.
func (ks *Keyspace) Names() (keys, topics int) {
	for range ks.keys.actors() {
		keys++
	}
	for range ks.topics.actors() {
		topics++
	}
	return keys, topics
}

// Expiries returns the number of keys that wait to expire.
func (ks *Keyspace) Expiries() int {
	ks.expiries.mu.Lock()
	defer ks.expiries.mu.Unlock()
	return len(ks.expiries.heap)
}
