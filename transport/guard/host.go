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

// loopbackKey marks requests that came by a listener on a loopback address.
type loopbackKey struct{}

// ListenerContext is for [http.Server].BaseContext: it notes whether the listener is
// on a loopback address, for CheckHost.
func ListenerContext(l net.Listener) context.Context {
	ctx := context.Background()
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		ctx = context.WithValue(ctx, loopbackKey{}, true)
	}
	return ctx
}

// CheckHost returns ErrHost if a request on a loopback address names another host.
// It is for a server that asks for no token: a page could make its own name point
// to this machine, and then be of the same origin (DNS rebinding). HTTP/1.0 requests
// without a Host header pass, because no browser sends them.
func CheckHost(r *http.Request) error {
	if r.Context().Value(loopbackKey{}) == nil || r.Host == "" || isLoopbackName(r.Host) {
		return nil
	}
	return &HostError{printable(r.Host), ErrHost}
}

// CheckAdminHost is CheckHost for the operator's listener, which may be on any
// address. It accepts addresses, because no page has one as its name, and names
// without a dot, by which containers call each other. For others it returns
// ErrAdminHost.
func CheckAdminHost(r *http.Request) error {
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
