package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origins say which pages may call: those of the server's own origin, and those
// that are allowed (RFC 6454; WHATWG Fetch, section 3.3). A request that says of
// no page passes: it is none of a browser's, or of one that does not let a page
// see the answer.
type origins struct {
	allowed []string
	writes  http.CrossOriginProtection
}

// ParseOrigin returns an origin as a browser writes it, scheme://host[:port], or
// an error where it is none.
func ParseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https",
		u.User != nil, u.Path != "", u.RawQuery != "", u.Fragment != "", u.ForceQuery:
		return "", fmt.Errorf("expected an origin like https://example.com but got %q", text)
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host, nil
}

func newOrigins(allowed []string) *origins {
	o := &origins{allowed: allowed}
	for _, origin := range allowed {
		if err := o.writes.AddTrustedOrigin(origin); err != nil {
			panic("transport: allowed origin: " + err.Error()) // whoever configures has parsed it
		}
	}
	return o
}

// exposed are the headers that a page may see besides those that it may always;
// accepted those that it may send.
const (
	exposed  = "ETag, Retry-After, WWW-Authenticate"
	accepted = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID"
)

// check refuses what comes from a page of another origin, and tells the browser
// of one that is allowed.
// Where it costs much to answer, or lasts, a browser has to say which page it is
// for: strict refuses what a page of another site has loaded as a picture.
func (o *origins) check(w http.ResponseWriter, r *http.Request, strict bool) error {
	origin := r.Header.Get("Origin")
	if len(o.allowed) > 0 {
		w.Header().Add("Vary", "Origin") // for caches, whoever asks
	}
	switch {
	case origin == "":
		if site := r.Header.Get("Sec-Fetch-Site"); strict && (site == "cross-site" || site == "same-site") {
			return errOrigin
		}
	case sameOrigin(origin, r):
	case slices.Contains(o.allowed, origin):
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", exposed)
	default:
		return errOrigin
	}
	if o.writes.Check(r) != nil {
		return errOrigin
	}
	return nil
}

// sameOrigin compares hosts alone where TLS ends before this server: the scheme is
// then not known.
func sameOrigin(origin string, r *http.Request) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	return ok && (scheme == "https" || scheme == "http" && r.TLS == nil) && host != "" && strings.EqualFold(host, r.Host)
}

// preflight tells a page that asks what it may send (WHATWG Fetch, section 3.3.5).
func preflight(w http.ResponseWriter, r *http.Request, allow string) {
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", allow)
	h.Set("Access-Control-Allow-Headers", accepted)
	h.Set("Access-Control-Max-Age", "600")
}

var errOrigin = refuse(codeForbidden, "the request comes from a page of another origin")

// loopbackKey is of requests that came by a listener on a loopback address.
type loopbackKey struct{}

func listenerContext(l net.Listener) context.Context {
	ctx := context.Background()
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		ctx = context.WithValue(ctx, loopbackKey{}, true)
	}
	return ctx
}

// checkHost refuses a name that is not this machine's for itself, where only this
// machine can call and nobody has to say who it is: a page could have its own name
// point here, and be of the same origin (DNS rebinding).
func checkHost(r *http.Request) error {
	if r.Context().Value(loopbackKey{}) == nil || r.Host == "" || isLoopbackName(r.Host) { // HTTP/1.0 has none, and no browser speaks that
		return nil
	}
	return refuse(codeForbidden, "the Host header names another machine: call this one localhost, or configure a key")
}

// checkAdminHost is checkHost for the operator's listener, which may be on any
// address: an address names no page, and nor does a name without a dot, by which
// containers call each other.
func checkAdminHost(r *http.Request) error {
	host := strings.TrimSuffix(r.Host, ".")
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || !strings.Contains(host, ".") || isLoopbackName(r.Host) {
		return nil
	}
	return refuse(codeForbidden, "the Host header is a name that a page could have: call this by its address")
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
