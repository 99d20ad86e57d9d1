package transport

import (
	"net/http"
	"strings"

	"rtdb/transport/auth"
)

// An access finds the principal of a request and checks its grants.
type access struct {
	keys      *auth.Keys      // nil: every client may do everything
	anonymous *auth.Principal // of requests without a token; nil: they may do nothing
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
	errForbidden = refuse(codeForbidden, "the token does not grant this: it needs a grant that covers the key, topic or pattern")
)

// identify returns the principal of a request. A token that is not valid is an error
// even if no token is needed, because the client wants its token to count.
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
