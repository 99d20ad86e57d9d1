package transport

import (
	"context"
	"net/http"
	"strings"

	"rtdb/transport/auth"
)

// access says who a request is from, and what that may do.
type access struct {
	keys      *auth.Keys      // nil: everybody may do everything
	anonymous *auth.Principal // who has no token; nil: nobody
}

func newAccess(keys *auth.Keys, anonymous *auth.Grants) access {
	a := access{keys: keys}
	switch {
	case keys == nil:
		a.anonymous = &auth.Principal{Grants: auth.Everything()}
	case anonymous != nil && !anonymous.None():
		a.anonymous = &auth.Principal{Grants: *anonymous}
	}
	return a
}

var (
	errNoToken   = refuse(codeUnauthorized, `this needs a token: Authorization: Bearer …, or in a WebSocket {"action":"auth","token":…}`)
	errForbidden = refuse(codeForbidden, "the token does not grant this")
)

// identify returns who a request is from. A token that is no good is an error,
// also where none was needed: whoever sends one wants it to count.
func (a *access) identify(r *http.Request) (*auth.Principal, error) {
	if a.keys == nil {
		return a.anonymous, nil
	}
	token, ok, err := bearer(r)
	switch {
	case err != nil:
		return nil, err
	case ok:
		return a.verify(token)
	case a.anonymous == nil:
		return nil, errNoToken
	}
	return a.anonymous, nil
}

func (a *access) verify(token string) (*auth.Principal, error) {
	if a.keys == nil {
		return a.anonymous, nil
	}
	return a.keys.Verify(token)
}

// bearer returns the token of a request (RFC 6750, section 2.1). In a browser's
// WebSocket it is a subprotocol, for a page can set no header there.
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
	for _, protocol := range subprotocols(r) {
		if token, ok := strings.CutPrefix(protocol, tokenProtocol); ok {
			return token, true, nil
		}
	}
	return "", false, nil
}

// tokenProtocol is what a subprotocol begins with that is a token. It is never
// echoed.
const tokenProtocol = "rtdb.token."

func subprotocols(r *http.Request) (list []string) {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for protocol := range strings.SplitSeq(line, ",") {
			list = append(list, strings.TrimSpace(protocol))
		}
	}
	return list
}

type principalKey struct{}

func withPrincipal(r *http.Request, p *auth.Principal) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), principalKey{}, p))
}

// principal is who a request is from. Of /ws it may be nobody yet.
func principal(r *http.Request) *auth.Principal {
	p, _ := r.Context().Value(principalKey{}).(*auth.Principal)
	return p
}

// want refuses what is not granted: who has no token is asked for one.
func (a *access) want(p *auth.Principal, granted bool) error {
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
