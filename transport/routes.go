package transport

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// The routes that have a name in them, as the log has them.
const (
	keyRoute   = "/data/{key}"
	topicRoute = "/topics/{topic}"
)

// The routes of sessions.
const (
	socketRoute = "/ws"
	eventsRoute = "/events"
)

// A handler answers a request, or returns the error to answer it with.
type handler func(w http.ResponseWriter, r *http.Request) error

// An endpoint is what answers at one path.
type endpoint struct {
	server   *Server
	route    string // as the log has it
	methods  map[string]handler
	queries  map[string][]string // the query parameters, by method
	allow    string              // the methods, as in the header of that name
	whenGone bool                // it answers while the server is draining, too
	public   bool                // it answers whoever asks, as often as that is
	admin    bool                // it answers the operator
	local    bool                // its listener is the operator's own
}

func (s *Server) endpoint(route string, methods map[string]handler) *endpoint {
	if get, ok := methods[http.MethodGet]; ok {
		methods[http.MethodHead] = get // net/http leaves the body out
	}
	e := &endpoint{server: s, route: route, methods: methods, queries: map[string][]string{}}
	allow := []string{http.MethodOptions}
	for m := range methods {
		allow = append(allow, m)
	}
	slices.Sort(allow)
	e.allow = strings.Join(allow, ", ")
	s.endpoints = append(s.endpoints, e)
	s.metrics.requests.WithLabelValues(route, "500") // so that the first one is seen to rise
	return e
}

// takes has the methods take the query parameters.
func (e *endpoint) takes(methods []string, parameters ...string) *endpoint {
	for _, m := range methods {
		e.queries[m] = parameters
	}
	return e
}

// addRoutes makes the server's paths.
func (s *Server) addRoutes() {
	key := s.endpoint(keyRoute, map[string]handler{
		http.MethodGet:    s.getKey,
		http.MethodPost:   s.setKey,
		http.MethodPut:    s.setKey,
		http.MethodPatch:  s.patchKey,
		http.MethodDelete: s.deleteKey,
	})
	reading := []string{http.MethodGet, http.MethodHead}
	keys := s.endpoint("/data", map[string]handler{
		http.MethodGet:  s.listKeys,
		http.MethodPost: s.setKeys,
	}).takes(reading, "prefix", "pattern", "limit", "after")
	events := s.endpoint(eventsRoute, map[string]handler{http.MethodGet: s.serveEvents}).
		takes(reading, "key", "pattern", "topic", "snapshot", "since")
	health := s.endpoint("/healthz", map[string]handler{http.MethodGet: s.alive})
	health.whenGone, health.public = true, true
	ready := s.endpoint("/readyz", map[string]handler{http.MethodGet: s.alive})
	ready.public = true
	s.any = &endpoint{server: s, route: "*", allow: key.allow}
	s.nothing = &endpoint{server: s, route: "none"}

	s.mux = http.NewServeMux()
	s.mux.Handle("/data/{name...}", key)
	s.mux.Handle("/data", keys)
	s.mux.Handle(eventsRoute, events)
	s.mux.Handle("/openapi.json", s.endpoint("/openapi.json", map[string]handler{http.MethodGet: s.describe}))
	s.mux.Handle("/topics/{name...}", s.endpoint(topicRoute, map[string]handler{http.MethodPost: s.publish}))
	s.mux.Handle(socketRoute, s.endpoint(socketRoute, map[string]handler{http.MethodGet: s.serveWebSocket}))
	s.mux.Handle("/healthz", health)
	s.mux.Handle("/readyz", ready)
	s.mux.Handle("/", s.nothing)
	// Without this the mux would redirect it to what stands below.
	s.mux.Handle("/topics", s.nothing)
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	res := w.(*response)
	res.route, res.name = e.route, r.PathValue("name")
	if err := e.serve(w, r); err != nil {
		fail(w, r, err)
	}
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) error {
	if e.server.isDraining() && !e.whenGone {
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		return errDraining
	}
	r, done, err := e.admit(w, r)
	switch {
	case err != nil, done:
		return err
	case e.allow == "":
		return refuse(codeNotFound, "there is nothing at this path")
	}
	h, ok := e.methods[r.Method]
	if !ok {
		w.Header().Set("Allow", e.allow)
		return refuse(codeMethodNotAllowed, "this path takes %s", e.allow)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(codeInvalidRequest, "the query string is malformed")
	}
	for name := range query {
		if slices.Contains(e.queries[r.Method], name) {
			continue
		}
		return refuse(codeInvalidRequest, "unknown query parameter %s", quoted(name))
	}
	return h(w, r)
}

// literally returns the request in a shape in which the mux does not clean its
// path: it would answer names with empty and dotted levels with a redirect,
// and those are to be told that they are no names. What stands behind the
// prefix, decoded once, becomes one segment of the path. A path that the mux
// would clean, and that has no name in it, is none of ours.
func literally(r *http.Request) (*http.Request, bool) {
	escaped := r.URL.EscapedPath()
	for _, prefix := range []string{"/data/", "/topics/"} {
		rest, ok := strings.CutPrefix(escaped, prefix)
		if !ok {
			continue
		}
		name, err := url.PathUnescape(rest)
		if err != nil {
			return nil, false
		}
		clone := *r
		clone.URL = new(url.URL)
		*clone.URL = *r.URL
		clone.URL.Path = prefix + name
		clone.URL.RawPath = prefix + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
		return &clone, true
	}
	return r, path.IsAbs(escaped) && (escaped == path.Clean(escaped) || escaped == profileRoute)
}
