package socket

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// Unused knows the connections on which no request has come yet: a browser's
// preconnect, a health check that only connects, half a header. At a shutdown
// [http.Server] waits 5 s for those to send a request, which would be refused;
// Close ends them instead. The zero value is ready to use.
type Unused struct {
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

type connKey struct{}

// NetConn returns the network connection of a request, nil if the server does not
// use Unused.
func NetConn(r *http.Request) net.Conn {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	return c
}

// tcpConn returns the TCP connection below c, nil if there is none.
func tcpConn(c net.Conn) *net.TCPConn {
	for {
		switch layer := c.(type) {
		case *net.TCPConn:
			return layer
		case interface{ NetConn() net.Conn }:
			c = layer.NetConn()
		default:
			return nil
		}
	}
}

// ConnContext is for [http.Server].ConnContext.
func (u *Unused) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// ConnState is for [http.Server].ConnState.
func (u *Unused) ConnState(c net.Conn, s http.ConnState) {
	if s == http.StateActive || s == http.StateIdle {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case s == http.StateClosed, s == http.StateHijacked:
		delete(u.conns, c)
	case s == http.StateNew && u.closed:
		_ = c.Close()
	case s == http.StateNew:
		if u.conns == nil {
			u.conns = make(map[net.Conn]struct{})
		}
		u.conns[c] = struct{}{}
	}
}

// Used forgets the connection of a request. From the first request on net/http
// knows when a connection may be closed.
func (u *Unused) Used(r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.conns) > 0 {
		delete(u.conns, NetConn(r))
	}
}

// Close closes the unused connections, and those that are still accepted.
func (u *Unused) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for c := range u.conns {
		_ = c.Close()
	}
}
