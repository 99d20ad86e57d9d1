package jetstream

// Crash ends a store as a kill of its process does: it says nothing to the other nodes.
func (s *Store) Crash() {
	s.closing.Lock()
	s.isClosed = true
	s.closing.Unlock()
	s.end(ErrClosed)
	s.conn.Close()
	s.running.Wait()
}
