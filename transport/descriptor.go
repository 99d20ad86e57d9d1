package transport

import (
	"net"
	"sync"
)

// A descriptor is the system's own of a connection, to read and write without
// waiting. The zero value has none.
//
// A [syscall.RawConn] would do as much, by way of three more structs with a lock
// of their own and the poller's state: of a delivery to one of 1000 idle clients
// that is 5%, for none of it is in the cache (BenchmarkFanoutOneKey, x-bare).
type descriptor struct {
	mu   sync.Mutex // held while fd is used: once it is closed it may be another's
	open bool
	fd   int
}

func (d *descriptor) init(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return // under TLS, and in memory
	}
	d.fd, d.open = descriptorOf(tcp)
}

// usable reports whether there is one, and the connection is not closed.
func (d *descriptor) usable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// shut comes before the connection is closed. It waits for no client.
func (d *descriptor) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = false
}

// tryWrite writes as much of p as the system takes at once.
func (d *descriptor) tryWrite(p []byte) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open {
		return 0, net.ErrClosed
	}
	return writeOnce(d.fd, p)
}

// tryRead returns how many bytes there were to be read at once, 0 or less also
// at the end and after an error: the next read says which.
func (d *descriptor) tryRead(p []byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open {
		return 0
	}
	return readOnce(d.fd, p)
}
