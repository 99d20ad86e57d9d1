package transport

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// unusedConns knows the connections on which no request has come yet: a
// preconnect, a health check that only connects, half a header.
// http.Server.Shutdown waits 5 s for those to send a request, which nobody
// would answer; a shutdown closes them instead.
type unusedConns struct {
	mu    sync.Mutex
	ended bool
	conns map[net.Conn]struct{}
}

type connKey struct{}

// context is for http.Server.ConnContext.
func (u *unusedConns) context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// state is for http.Server.ConnState.
func (u *unusedConns) state(c net.Conn, s http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case s == http.StateClosed, s == http.StateHijacked:
		delete(u.conns, c)
	case s == http.StateNew && u.ended:
		_ = c.Close()
	case s == http.StateNew:
		u.conns[c] = struct{}{}
	}
}

// used forgets the connection of a request: from its first request on net/http
// knows best when it may be closed.
func (u *unusedConns) used(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok { // else another server's
		u.mu.Lock()
		delete(u.conns, c)
		u.mu.Unlock()
	}
}

// close closes them, and those that are still accepted.
func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for c := range u.conns {
		_ = c.Close()
	}
}
