package transport

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"rtdb/transport/auth"
	"rtdb/transport/guard"
)

// errNoPath answers requests at paths that do not exist.
var errNoPath = refuse(codeNotFound, "there is nothing at this path")

// A handler answers a request, or returns the error to answer it with.
type handler func(w *response, r *http.Request) error

// An audience is the group of callers that an endpoint answers.
type audience uint8

const (
	forClients  audience = iota // clients, as far as their grants allow
	forAnyone                   // everyone, without a token and without a limit
	forAdmins                   // clients with a token that grants admin
	forOperator                 // everyone that reaches the operator's own listener
)

// An endpoint answers the requests of one route.
type endpoint struct {
	gate          *gate
	route         string // as the log names it
	audience      audience
	methods       map[string]handler
	queries       map[string][]string // the query parameters of a method
	anyQuery      bool                // it ignores the query, as a server of files does
	anyOrigin     bool                // pages of all origins may read it
	allow         string              // the value of the header Allow; "" if nothing is at the route
	strictOrigin  bool                // it costs much or lasts: see guard.Origins.Check
	whileDraining bool                // it answers at a shutdown, too
	whileLoading  bool                // it answers before the keyspace is loaded, too
}

func newEndpoint(g *gate, route string, methods map[string]handler) *endpoint {
	if get, ok := methods[http.MethodGet]; ok {
		methods[http.MethodHead] = get // net/http leaves out the body
	}
	allow := []string{http.MethodOptions}
	for m := range methods {
		allow = append(allow, m)
	}
	slices.Sort(allow)
	return &endpoint{
		gate: g, route: route, methods: methods, queries: map[string][]string{}, allow: strings.Join(allow, ", "),
	}
}

// takes sets the query parameters of GET and HEAD.
func (e *endpoint) takes(parameters ...string) *endpoint {
	e.queries[http.MethodGet], e.queries[http.MethodHead] = parameters, parameters
	return e
}

// deletes sets the query parameters of DELETE.
func (e *endpoint) deletes(parameters ...string) *endpoint {
	e.queries[http.MethodDelete] = parameters
	return e
}

func (e *endpoint) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := rw.(*response)
	w.route = e.route
	if err := e.serve(w, r); err != nil {
		w.fail(r, err)
	}
}

func (e *endpoint) serve(w *response, r *http.Request) error {
	done, err := e.gate.admit(e, w, r)
	switch {
	case err != nil, done:
		return err
	case e.allow == "":
		return errNoPath
	}
	h, ok := e.methods[r.Method]
	if !ok {
		w.Header().Set("Allow", e.allow)
		return refuse(codeMethodNotAllowed, "this path takes %s", e.allow)
	}
	if e.anyQuery {
		return h(w, r)
	}
	if r.URL.RawQuery == "" {
		return h(w, r)
	}
	if w.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	for name := range w.query {
		if !slices.Contains(e.queries[r.Method], name) {
			return refuse(codeInvalidRequest, "unknown query parameter %s", quoted(name))
		}
	}
	return h(w, r)
}

// A gate admits requests to endpoints.
type gate struct {
	access     *access
	clients    *registry
	loaded     func() bool // the keyspace is loaded
	origins    *guard.Origins
	rates      *guard.Rates
	ratePerSec float64 // for messages
}

// ownOrigin lets in only pages of the operator's own listener, which asks for no
// token.
var ownOrigin = guard.OwnOrigin()

// admit checks the Host header, the origin, that the server is neither draining nor
// loading, the token, and the rate. It sets w.principal. done reports that it has answered
// the request.
func (g *gate) admit(e *endpoint, w *response, r *http.Request) (done bool, err error) {
	origins := g.origins
	switch {
	case e.audience == forOperator:
		origins = ownOrigin
		err = guard.CheckAdminHost(r)
	case g.access.keys == nil:
		err = guard.CheckHost(r)
	}
	if err != nil {
		return false, err
	}
	if e.anyOrigin {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	} else if err := origins.Check(w, r, e.strictOrigin); err != nil {
		return false, err
	}
	// A page that asks before it calls is told that it may call even while the server is
	// draining or loading. Otherwise it could not read why its call is refused.
	preflight := e.allow != "" && guard.Preflight(w, r, e.allow)
	switch {
	case preflight:
	case !e.whileDraining && g.clients.isDraining():
		w.Header().Set("Connection", "close")
		return false, errDraining
	case !e.whileLoading && !g.loaded():
		return false, errLoading
	}
	if r.Method == http.MethodOptions && e.allow != "" {
		w.Header().Set("Allow", e.allow)
		if e.methods[http.MethodPatch] != nil {
			w.Header().Set("Accept-Patch", guard.MergePatch) // RFC 5789, section 3.1
		}
		w.WriteHeader(http.StatusNoContent)
		return true, nil
	}
	if e.audience == forAnyone || e.audience == forOperator {
		return false, nil
	}
	// A request whose token is refused counts, too, by its address.
	w.principal, err = g.identify(e, w, r)
	if g.ratePerSec <= 0 {
		return false, err
	}
	if wait, ok := g.rates.Take(rateKey(w.principal, w.remote)); !ok {
		f := tooManyRequests(g.ratePerSec)
		f.retry = wait
		return false, f
	}
	return false, err
}

// identify returns the principal of a request. A WebSocket may authenticate later;
// until then it has none.
func (g *gate) identify(e *endpoint, w *response, r *http.Request) (*auth.Principal, error) {
	p, err := g.access.identify(r)
	if err == errNoToken && e.route == socketRoute {
		return nil, nil
	}
	if err == nil && e.audience == forAdmins && !p.Admin {
		err = g.access.authorize(p, false)
	}
	if err != nil && explain(err).code == codeUnauthorized {
		w.challenge(err)
	}
	return p, err
}

// rateKey names the client whose requests are counted together: a token
// or else an address.
func rateKey(p *auth.Principal, remote string) string {
	if p != nil && p.ID != [16]byte{} {
		return hex.EncodeToString(p.ID[:])
	}
	return guard.Household(remote)
}
