package guard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Checks return these errors in a *HostError.
var (
	// ErrHost refuses a Host header that names another machine.
	ErrHost = errors.New("guard: Host header names another machine")

	// ErrAdminHost refuses a Host header that a page could have.
	ErrAdminHost = errors.New("guard: Host header is a page's name")
)

// A HostError is ErrHost or ErrAdminHost with the Host header.
type HostError struct {
	Host string // quoted, so that it is safe to print, and at most 64 bytes of it
	err  error
}

func (e *HostError) Error() string { return e.err.Error() + ": " + e.Host }

// Unwrap returns ErrHost or ErrAdminHost.
func (e *HostError) Unwrap() error { return e.err }

// listenerKey is the key of a listenerKind in a request's context.
type listenerKey struct{}

// A listenerKind is a kind of listener whose requests are treated in their own way.
type listenerKind int

const (
	otherListener listenerKind = iota
	loopbackListener
	unixListener
)

// kindOf returns the kind of listener by which a request came.
func kindOf(r *http.Request) listenerKind {
	kind, _ := r.Context().Value(listenerKey{}).(listenerKind)
	return kind
}

// ListenerContext is for [http.Server].BaseContext: it notes whether the listener is
// on a loopback address or a Unix socket, for CheckHost and RemoteAddr.
func ListenerContext(l net.Listener) context.Context {
	ctx := context.Background()
	switch a := l.Addr().(type) {
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			ctx = context.WithValue(ctx, listenerKey{}, loopbackListener)
		}
	case *net.UnixAddr:
		ctx = context.WithValue(ctx, listenerKey{}, unixListener)
	}
	return ctx
}

// CheckHost returns ErrHost if a request on a loopback address names another host.
// It is for a server that asks for no token: a page could make its own name point
// to this machine, and then be of the same origin (DNS rebinding). HTTP/1.0 requests
// without a Host header pass, because no browser sends them. Requests on a Unix socket
// pass, too: no name leads a browser to it, and a proxy in front of it passes on the
// public name.
func CheckHost(r *http.Request) error {
	if kindOf(r) != loopbackListener || r.Host == "" || isLoopbackName(r.Host) {
		return nil
	}
	return &HostError{printable(r.Host), ErrHost}
}

// CheckAdminHost is CheckHost for the operator's listener, which may be on any
// address. It accepts addresses, because no page has one as its name, and names
// without a dot, by which containers call each other. For others it returns
// ErrAdminHost, except on a Unix socket.
func CheckAdminHost(r *http.Request) error {
	if kindOf(r) == unixListener {
		return nil
	}
	host := strings.TrimSuffix(r.Host, ".")
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || !strings.Contains(host, ".") || isLoopbackName(r.Host) {
		return nil
	}
	return &HostError{printable(r.Host), ErrAdminHost}
}

func isLoopbackName(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
