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
