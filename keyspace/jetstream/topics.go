package jetstream

// publishTopic sends a message of a topic to the other nodes.
func (s *Store) publishTopic(topic string, value []byte) error {
	return s.conn.Publish(s.subjects.topics+encodeName(topic), value)
}
