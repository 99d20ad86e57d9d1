package guard

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ErrOrigin refuses a request of a page of another origin.
var ErrOrigin = errors.New("guard: page of another origin")

// Origins decide which pages may call: those of the server's own origin, and those
// of the allowed ones (RFC 6454; WHATWG Fetch, section 3.3). A request without an
// Origin header passes: it does not come from a browser's page, or from a page that
// cannot read the response.
type Origins struct {
	allowed     []string
	writes      http.CrossOriginProtection
	credentials bool // pages of allowed origins may call with cookies
}

// ParseOrigin returns an origin as browsers write it, scheme://host[:port].
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

// NewOrigins allows origins besides the server's own. They must be as ParseOrigin
// returns them; otherwise NewOrigins panics.
func NewOrigins(allowed []string) *Origins {
	o := &Origins{allowed: allowed}
	for _, origin := range allowed {
		if err := o.writes.AddTrustedOrigin(origin); err != nil {
			panic("guard: allowed origin: " + err.Error())
		}
	}
	return o
}

// AllowCredentials lets pages of allowed origins call with cookies and read the responses
// (WHATWG Fetch, section 3.3.5). It does not let pages with the origin null, which every
// site can make. It must be called before Check.
func (o *Origins) AllowCredentials() { o.credentials = true }

// The headers that a page may read besides those that are always readable, and the
// headers that it may send.
const (
	exposedHeaders = "ETag, Retry-After, WWW-Authenticate"
	allowedHeaders = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID"
)

// Check returns ErrOrigin if the request comes from a page that may not call. For a
// page of an allowed origin it sets the headers of CORS.
//
// strict is for requests that cost much or last: it also refuses those without an
// Origin header that a browser makes for a page of another site, such as an image.
func (o *Origins) Check(w http.ResponseWriter, r *http.Request, strict bool) error {
	origin := r.Header.Get("Origin")
	if len(o.allowed) > 0 {
		w.Header().Add("Vary", "Origin") // always, for caches
	}
	switch {
	case origin == "":
		if site := r.Header.Get("Sec-Fetch-Site"); strict && (site == "cross-site" || site == "same-site") {
			return ErrOrigin
		}
	case isSameOrigin(origin, r):
	case slices.Contains(o.allowed, origin):
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", exposedHeaders)
		if o.credentials && origin != "null" {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
	default:
		return ErrOrigin
	}
	if o.writes.Check(r) != nil {
		return ErrOrigin
	}
	return nil
}

// isSameOrigin compares only hosts if TLS ends before this server, because the
// scheme is not known then.
func isSameOrigin(origin string, r *http.Request) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	return ok && (scheme == "https" || scheme == "http" && r.TLS == nil) && host != "" && strings.EqualFold(host, r.Host)
}

// Preflight answers a CORS preflight (WHATWG Fetch, section 3.3.5): it sets the methods
// and headers that the page may send. It comes after Check. methods is the value
// of the header Allow.
func Preflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", allowedHeaders)
	h.Set("Access-Control-Max-Age", "600")
}
