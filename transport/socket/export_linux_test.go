package socket

// Parked reports whether the connection is parked.
func (c *Conn) Parked() bool {
	p := &c.wire.readers.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	fd := c.wire.fd.fd
	return fd < len(p.parked) && p.parked[fd] == c
}

// Alive is what a Pinger asks.
func (c *Conn) Alive() bool { return c.alive() }

// Polls reports whether the poller of the connection's server waits.
func (c *Conn) Polls() bool {
	p := &c.wire.readers.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.file != nil
}
