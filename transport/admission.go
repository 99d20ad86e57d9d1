package transport

import (
	"encoding/hex"
	"math"
	"net/http"
	"time"

	"rtdb/transport/auth"
)

// admit settles what is the same for every request: where it comes from, who it
// is from, and that this one is not too fast. It returns the request with all
// of that. done says that it is answered.
func (e *endpoint) admit(w http.ResponseWriter, r *http.Request) (_ *http.Request, done bool, err error) {
	s := e.server
	if err := e.checkHost(r); err != nil {
		return r, false, err
	}
	if err := e.origins().check(w, r, e.admin || e.local || e.route == eventsRoute); err != nil {
		return r, false, err
	}
	if r.Method == http.MethodOptions && e.allow != "" {
		preflight(w, r, e.allow)
		w.Header().Set("Allow", e.allow)
		w.WriteHeader(http.StatusNoContent)
		return r, true, nil
	}
	if e.public {
		return r, false, nil
	}
	who, err := s.identify(e, w, r) // whoever is refused is counted by address, too
	if wait, ok := s.rates.take(rateName(who, w.(*response).remote)); !ok {
		f := refuse(codeRateLimited, "too many requests: %v a second are allowed", s.rates.perSecond)
		f.retry = wait
		return r, false, f
	}
	if err != nil {
		return r, false, err
	}
	return withPrincipal(r, who), false, nil
}

func (e *endpoint) checkHost(r *http.Request) error {
	switch {
	case e.local:
		return checkAdminHost(r)
	case e.server.access.keys == nil:
		return checkHost(r)
	}
	return nil
}

// origins are those whose pages may call. The operator's own listener has none
// besides itself: nobody there has to say who it is.
func (e *endpoint) origins() *origins {
	if e.local {
		return ownOrigin
	}
	return e.server.origins
}

var ownOrigin = newOrigins(nil)

// identify asks for a token, but not of a WebSocket, which may send one later.
func (s *Server) identify(e *endpoint, w http.ResponseWriter, r *http.Request) (*auth.Principal, error) {
	who, err := s.access.identify(r)
	if err == errNoToken && e.route == socketRoute {
		return nil, nil
	}
	if err == nil && e.admin && !who.Admin {
		err = s.access.want(who, false)
	}
	if err != nil && explain(err).code == codeUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge(err)) // RFC 6750, section 3
	}
	return who, err
}

func challenge(err error) string {
	if err == errNoToken {
		return `Bearer realm="rtdb"`
	}
	return `Bearer realm="rtdb", error="invalid_token"`
}

// rateName is whose requests are counted together: those of a token, or of an
// address.
func rateName(who *auth.Principal, remote string) string {
	if who != nil && who.ID != [16]byte{} {
		return hex.EncodeToString(who.ID[:])
	}
	return hostOf(remote)
}

// retrySeconds is how long to wait as the header Retry-After has it.
func retrySeconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// wantHTTP refuses what whoever a request is from may not do.
func (s *Server) wantHTTP(w http.ResponseWriter, r *http.Request, granted func(*auth.Grants) bool) error {
	who := principal(r)
	err := s.access.want(who, granted(&who.Grants))
	if err == errNoToken {
		w.Header().Set("WWW-Authenticate", challenge(err))
	}
	return err
}
