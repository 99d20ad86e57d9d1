package guard

import (
	"errors"
	"net/http"
	"strings"
)

// ErrOrigin refuses a request of a page that may not call. Check returns it in an
// *OriginError.
var ErrOrigin = errors.New("guard: page of another origin")

// An OriginError is ErrOrigin with the origin of the page.
type OriginError struct {
	// Origin is in ASCII, and at most 512 bytes long. It is "" if the browser sent no
	// Origin header, or the header is not an origin: then it may hold anything, even a
	// token, and is not to be repeated.
	Origin string

	// Allow is the origin to pass to NewOrigins, if that would let the page in, or "".
	Allow string
}

func (e *OriginError) Error() string { return ErrOrigin.Error() + ": " + e.Origin }

// Unwrap returns ErrOrigin.
func (e *OriginError) Unwrap() error { return ErrOrigin }

// Origins decide which pages may call: those of the server's own origin, and those
// of the allowed ones (RFC 6454; WHATWG Fetch, section 3.3). A request without an
// Origin header passes: it does not come from a browser's page, or from a page that
// cannot read the response.
type Origins struct {
	allowed     map[origin]bool
	domains     []origin // every host below these is allowed, too
	fixed       bool     // no other origin can be allowed
	loopback    bool     // pages of this machine may call by a loopback address
	credentials bool     // pages of allowed origins may call with cookies
	writes      http.CrossOriginProtection
}

// NewOrigins allows origins besides the server's own. They must be as ParseOrigin
// returns them; otherwise NewOrigins panics.
func NewOrigins(allowed []string) *Origins {
	o := &Origins{allowed: make(map[origin]bool)}
	for _, text := range allowed {
		if parsed, err := ParseOrigin(text); err != nil || parsed != text {
			panic("guard: allowed origin " + text + " is not as ParseOrigin returns it")
		}
		if domain, ok := splitDomain(text); ok {
			o.domains = append(o.domains, domain)
			continue
		}
		exact, _ := splitOrigin(text)
		o.allowed[exact] = true
	}
	return o
}

// AllowCredentials lets pages of allowed origins call with cookies and read the responses
// (WHATWG Fetch, section 3.3.5). It does not let pages with the origin null, which every
// site can make. It must be called before Check.
func (o *Origins) AllowCredentials() { o.credentials = true }

// AllowLoopback lets pages of loopback names call, on any port, if they call a loopback
// address of this machine: a developer's page comes from another port than the server. Such
// a page is served by a program of this machine, which could call without a browser as well.
// It must be called before Check, and only if the server asks for no token.
func (o *Origins) AllowLoopback() { o.loopback = true }

// MayUseCookies reports whether a cookie may identify the client of a request that has
// passed Check. A browser sends a cookie with every request, also for pages that the user
// does not trust. So the request must not change anything, and must not come from a page
// of another site: an image or a link, which has no Origin header, or a page with the
// origin null, which every site can make.
//
// Behind a proxy that ends TLS, Check takes each page of the server's host for its own,
// over http, too. An attacker in the network can make such a page. So an own page over
// http may use cookies only if the browser says that it is of the same origin, or on a
// loopback name.
func (o *Origins) MayUseCookies(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	text, site := r.Header.Get("Origin"), fetchSite(r)
	page, _ := splitOrigin(text)
	switch {
	case text == "":
		return site != "cross-site" && site != "same-site"
	case page == nullOrigin:
		return false
	case o.allows(page):
		return true
	case site != "":
		return site == "same-origin"
	}
	return page.scheme == "https" || isLoopbackName(page.host)
}

// OwnOrigin allows only pages of the server's own origin, whatever the operator sets.
func OwnOrigin() *Origins { return &Origins{fixed: true} }

// varyOrigin are the lines of the header Vary. They are shared, and must not be changed: what
// appends to them makes a copy.
var varyOrigin = []string{"Origin"}

// Check returns an *OriginError if the request comes from a page that may not call. For a
// page of an allowed origin it sets the headers of CORS.
//
// strict is for requests that cost much or last: it also refuses those without an
// Origin header that a browser makes for a page of another site, such as an image.
func (o *Origins) Check(w http.ResponseWriter, r *http.Request, strict bool) error {
	if len(o.allowed)+len(o.domains) > 0 || o.loopback && kindOf(r) == loopbackListener {
		if h := w.Header(); h["Vary"] == nil { // always, for caches
			h["Vary"] = varyOrigin
		} else {
			h.Add("Vary", "Origin")
		}
	}
	sent := r.Header["Origin"]
	if len(sent) == 0 {
		site := fetchSite(r)
		if strict && (site == "cross-site" || site == "same-site") || o.isForeignWrite(r) {
			return &OriginError{}
		}
		return nil
	}
	page, ok := splitOrigin(sent[0])
	switch ok = ok && len(sent) == 1; {
	case ok && o.allows(page):
		o.admit(w, sent[0])
		return nil
	case ok && page.serves(r) && !o.isForeignWrite(r):
		return nil
	case ok && o.loopback && page.isLoopback() && kindOf(r) == loopbackListener:
		o.admit(w, sent[0])
		return nil
	case !ok:
		return &OriginError{}
	}
	refused := &OriginError{Origin: page.String()}
	if !o.fixed {
		refused.Allow = refused.Origin
	}
	return refused
}

// admit sets the headers of CORS for a page of another origin that may call.
func (o *Origins) admit(w http.ResponseWriter, page string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", page)
	h.Set("Access-Control-Expose-Headers", exposedHeaders)
	if o.credentials && page != "null" {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

func (o *Origins) allows(page origin) bool {
	if o.allowed[page] {
		return true
	}
	for _, domain := range o.domains {
		below, ok := strings.CutSuffix(page.host, "."+domain.host)
		if ok && page.scheme == domain.scheme && page.port == domain.port && areLabels(below) {
			return true
		}
	}
	return false
}

// isForeignWrite reports whether a browser says, in Sec-Fetch-Site, that a write comes
// from a page of another origin. If it does not say, CrossOriginProtection would
// compare the Origin header with the Host header, which origin.serves does better.
func (o *Origins) isForeignWrite(r *http.Request) bool {
	return fetchSite(r) != "" && o.writes.Check(r) != nil
}

// fetchSite returns the header Sec-Fetch-Site, or "". Header.Get looks at each
// byte of the name first. For the names that every request is asked for, that was 4% of the
// CPU of a write (BenchmarkWritesREST), so they are looked up in canonical form.
func fetchSite(r *http.Request) string {
	if lines := r.Header["Sec-Fetch-Site"]; len(lines) > 0 {
		return lines[0]
	}
	return ""
}
