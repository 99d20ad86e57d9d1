package keyspace

// Names counts the keys and topics that are in the directories.
func (ks *Keyspace) Names() (keys, topics int) {
	for range ks.keys.all {
		keys++
	}
	for range ks.topics.all {
		topics++
	}
	return keys, topics
}

// Expiries counts the keys that wait to expire.
func (ks *Keyspace) Expiries() int {
	ks.expiries.mu.Lock()
	defer ks.expiries.mu.Unlock()
	return len(ks.expiries.heap)
}
