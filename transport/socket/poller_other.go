//go:build !linux

package socket

// A leader serves parked connections.
type leader struct{}

func (*leader) end() {}

func (*leader) pause(*Conn) {}

func (*leader) resume() {}

// A poller parks no connections on this system: each has a goroutine that waits.
type poller struct{}

func (*poller) add(*Conn) bool { return false }

func (*poller) remove(*wire) {}

func (*poller) close() {}
