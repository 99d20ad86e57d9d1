package socket

// Parked reports whether the connection is parked.
func (c *Conn) Parked() bool {
	p := &c.wire.readers.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	fd := c.wire.fd.fd
	return fd < len(p.parked) && p.parked[fd] == c
}

// Ping is what a Pinger does.
func (c *Conn) Ping() bool { return c.ping() }

// Ponged reports whether a pong has come since the last ping.
func (c *Conn) Ponged() bool { return c.wire.ponged.Load() }

// Polls reports whether the poller of the connection's server waits.
func (c *Conn) Polls() bool {
	p := &c.wire.readers.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.file != nil
}
