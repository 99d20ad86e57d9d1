package socket

import (
	"net"
	"slices"
	"sync"
	"time"
)

// How long the peer of a connection may be silent.
//
// The kernel probes a peer from which nothing has come for keepAliveIdle, and again every
// keepAliveInterval (RFC 1122, section 4.2.3.6). It sends data that is not acknowledged again
// and again. So from a peer that is there something comes at least every 10 s, even if its
// program reads nothing and sends nothing; two probes may be lost. Links looks at each
// connection every scanInterval, and ends those from which nothing has come for maxSilence. So
// after its last segment a peer that has vanished is gone
//
//   - in 20 s + 8 s = 28 s at most, whatever is written to it, and when;
//   - in 10 s + 3 × 4 s = 22 s at most if nothing is: then the kernel ends the connection.
//
// This does not depend on heartbeats: an event stream's comment every 15 s and a WebSocket's
// ping every 25 s are data like other data. So it is the same for each kind of connection.
//
// TCP_USER_TIMEOUT (RFC 5482) does not do. With 13 s, Linux 6.18 ended a client that read
// 40 KB/s through a receive buffer of 8 KB, after 14 s to 20 s and while it was reading. The
// kernel does not restart the time when the window opens by less than what waits
// (TestPongsDoNotWaitBehindData).
//
// On other systems than Linux there is only the keep-alive: 22 s if nothing is written, and
// on some systems also if something is. A WebSocket ends there PingInterval + PongTimeout after
// its last pong, and each connection StallTimeout after the kernel's buffer is full.
const (
	keepAliveIdle     = 10 * time.Second
	keepAliveInterval = 4 * time.Second
	keepAliveCount    = 3

	maxSilence   = 20 * time.Second
	scanInterval = 8 * time.Second
)

var keepAlive = net.KeepAliveConfig{
	Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
}

// Links ends TCP connections whose peer has vanished. The zero value is ready to use.
//
// A look at a connection is a system call that makes no garbage: 2 µs (BenchmarkLook). So
// 10,000 idle connections take 20 ms of CPU every scanInterval, and 8 bytes each.
type Links struct {
	mu    sync.Mutex
	conns []*net.TCPConn // without those that are being scanned
	timer *time.Timer    // nil until the first connection
}

// Add watches a connection until it is closed. The connection may have layers above TCP
// that have a method NetConn, as [tls.Conn] does. Add does nothing to other connections: the
// peer of a Unix socket cannot vanish.
func (l *Links) Add(c net.Conn) {
	tcp := tcpConn(c)
	if tcp == nil {
		return
	}
	if !isProbed(tcp) {
		_ = tcp.SetKeepAliveConfig(keepAlive) // if this fails the connection is closed, as the next read says
	}
	if !canLook {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, tcp)
	switch {
	case l.timer == nil:
		l.timer = time.AfterFunc(scanInterval, l.scan)
	case len(l.conns) == 1:
		l.timer.Reset(scanInterval)
	}
}

// scan ends the connections whose peer has vanished, and forgets those that are closed.
func (l *Links) scan() {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	var k look
	conns = slices.DeleteFunc(conns, func(c *net.TCPConn) bool { return !k.watchable(c) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns = append(conns, l.conns...); len(l.conns) > 0 {
		l.timer.Reset(scanInterval)
	}
}

// watchable looks at a connection and reports whether it must be looked at again: it is
// open, and its peer has not vanished.
func (k *look) watchable(c *net.TCPConn) bool {
	silence, ok := k.silence(c)
	if ok && silence >= maxSilence {
		k.end(c)
		return false
	}
	return ok
}

// LimitSendBuffer sets the size of the kernel's send buffer of a TCP connection.
func LimitSendBuffer(c net.Conn, bytes int) {
	if tcp := tcpConn(c); tcp != nil {
		_ = tcp.SetWriteBuffer(bytes) // an optimization
	}
}
