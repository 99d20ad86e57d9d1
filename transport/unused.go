package transport

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// unusedConns knows the connections on which no request has begun, or none is
// going on: a preconnect, a health check that only connects, half a header.
// http.Server.Shutdown waits 5 s for those that are new to send a request,
// which nobody would answer; a shutdown closes them instead.
type unusedConns struct {
	mu    sync.Mutex
	ended bool
	conns map[net.Conn]bool // true while a request is going on
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
		u.conns[c] = false
	}
}

// use marks the connection of a request until the function it returns is
// called.
func (u *unusedConns) use(r *http.Request) (unuse func()) {
	c, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok { // served by another http.Server
		return func() {}
	}
	u.mark(c, true)
	return func() { u.mark(c, false) }
}

func (u *unusedConns) mark(c net.Conn, used bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.conns[c]; ok { // not hijacked
		u.conns[c] = used
	}
}

// close closes them, and those that are still accepted.
func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for c, used := range u.conns {
		if !used {
			_ = c.Close()
		}
	}
}
