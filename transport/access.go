package transport

import (
	"net/http"
	"strings"

	"rtdb/transport/auth"
	"rtdb/transport/guard"
)

// An access finds the principal of a request and checks its grants.
type access struct {
	keys      *auth.Keys      // nil: every client may do everything
	anonymous *auth.Principal // of requests without a token; nil: they may do nothing
	cookie    string          // the name of the cookie that may carry a token, or ""
	origins   *guard.Origins  // of pages
}

func newAccess(o Options) access {
	a := access{keys: o.Keys, cookie: o.TokenCookie, origins: guard.NewOrigins(o.AllowedOrigins)}
	switch {
	case o.Keys == nil:
		a.anonymous = &auth.Principal{Grants: auth.Everything()}
	case o.Anonymous != nil && !o.Anonymous.None():
		a.anonymous = &auth.Principal{Grants: *o.Anonymous}
	}
	return a
}

var (
	errNoToken      = refuse(codeUnauthorized, `this needs a token: Authorization: Bearer …, or in a WebSocket {"action":"auth","token":…}`)
	errCookieForGet = refuse(codeUnauthorized, "this needs a token in the header Authorization: Bearer …; a cookie's token counts only for GET, /ws and /events, and not for pages of other sites")
	errForbidden    = refuse(codeForbidden, "the token does not grant this: it needs a grant that covers the key, topic or pattern")
)

// identify returns the principal of a request. A token that is not valid is an error
// even if no token is needed, because the client wants its token to count.
func (a *access) identify(r *http.Request) (*auth.Principal, error) {
	if a.keys == nil {
		return a.anonymous, nil
	}
	token, ok, err := bearer(r)
	ignored := false // the request has a cookie that may not carry its token
	fromCookie := !ok && err == nil && a.cookie != ""
	if fromCookie {
		if token, ok, err = cookieToken(r, a.cookie); ok && !a.origins.MayUseCookies(r) {
			ok, ignored = false, true
		}
	}
	switch {
	case err != nil:
		return nil, err
	case ok && fromCookie && r.URL.Path == socketRoute:
		// A page cannot remove a cookie that has expired, but can send another token.
		if p, err := a.verify(token); err == nil {
			return p, nil
		}
		return nil, errNoToken
	case ok:
		return a.verify(token)
	case a.anonymous != nil:
		return a.anonymous, nil
	case ignored && r.URL.Path != socketRoute: // a WebSocket may authenticate later
		return nil, errCookieForGet
	}
	return nil, errNoToken
}

// cookieToken returns the token in the request's cookie, if it has one. An empty cookie is
// the same as none.
func cookieToken(r *http.Request, name string) (token string, ok bool, err error) {
	cookies := r.CookiesNamed(name)
	if len(cookies) > 1 {
		// Another site of the same domain may have set one of them.
		return "", false, refuse(codeUnauthorized, "the request has more than one cookie %s", name)
	}
	if len(cookies) == 0 || cookies[0].Value == "" {
		return "", false, nil
	}
	return cookies[0].Value, true, nil
}

func (a *access) verify(token string) (*auth.Principal, error) {
	if a.keys == nil {
		return a.anonymous, nil
	}
	return a.keys.Verify(token)
}

// authorize returns an error if the principal's request is not granted. A
// client without a token is asked for one.
func (a *access) authorize(p *auth.Principal, granted bool) error {
	switch {
	case granted && p.Expired():
		return refuse(codeUnauthorized, "the token has expired")
	case granted:
		return nil
	case p == a.anonymous:
		return errNoToken
	}
	return errForbidden
}

// tokenProtocol is the beginning of a subprotocol that carries a token. It is never
// echoed.
const tokenProtocol = "rtdb.token."

// bearer returns the token of a request (RFC 6750, section 2.1). A page cannot set
// headers of a WebSocket, so there the token may be a subprotocol.
func bearer(r *http.Request) (token string, ok bool, err error) {
	if header := r.Header.Values("Authorization"); len(header) > 0 {
		scheme, token, _ := strings.Cut(header[0], " ")
		if len(header) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return "", false, refuse(codeUnauthorized, "the Authorization header is not one Bearer token")
		}
		return strings.TrimSpace(token), true, nil
	}
	if r.URL.Path != socketRoute {
		return "", false, nil
	}
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for protocol := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(protocol), tokenProtocol); ok {
				return token, true, nil
			}
		}
	}
	return "", false, nil
}
