package transport

import (
	"net/http"
	"net/http/pprof"
	"net/url"
	"path"
	"strings"

	"rtdb/actor"
	"rtdb/transport/guard"
	"rtdb/transport/web"
)

// What follows these segments of a path, decoded once, is a name.
const (
	keySegment   = "data"
	topicSegment = "topics"
)

// The routes, as the log names them.
const (
	keyRoute      = "/data/{key}"
	keysRoute     = "/data"
	topicRoute    = "/topics/{topic}"
	socketRoute   = "/ws"
	eventsRoute   = "/events"
	openAPIRoute  = "/openapi.json"
	healthRoute   = "/healthz"
	readyRoute    = "/readyz"
	metricsRoute  = "/metrics"
	sessionsRoute = "/sessions"
	sessionRoute  = "/sessions/{id}"
	topicsRoute   = "/topics"
	profileRoute  = "/debug/pprof/"
	levelRoute    = "/log-level"
	backupRoute   = "/backup"
	clientRoute   = "/rtdb.js"
	consoleRoute  = "/console/"
	pagesRoute    = "/{page}"
	noRoute       = "none" // of other paths
)

// routes find the endpoint of a request.
type routes struct {
	mux       *http.ServeMux // of paths without a name
	keys      *endpoint      // at keySegment and a name
	topics    *endpoint      // at topicSegment and a name
	admin     *http.ServeMux // of the operator's listener
	endpoints []*endpoint
	nothing   *endpoint // at paths that do not exist
	any       *endpoint // stands for the whole server in OPTIONS *
	metrics   *metrics
}

func newRoutes(c *core, pool *actor.Pool) *routes {
	g := &gate{
		access: &c.access, clients: c.clients, loaded: c.keyspace.Loaded,
		origins: guard.NewOrigins(c.options.AllowedOrigins),
		rates:   guard.NewRates(c.options.MaxRequestRate), ratePerSec: c.options.MaxRequestRate,
	}
	if c.options.TokenCookie != "" {
		g.origins.AllowCredentials()
	}
	if c.options.Keys == nil {
		g.origins.AllowLoopback()
	}
	t := &routes{mux: http.NewServeMux(), metrics: c.metrics, nothing: &endpoint{gate: g, route: noRoute}}
	t.addClientRoutes(g, c, pool)
	t.addPages(g, c.options)
	t.admin = t.mux
	if c.options.Admin {
		t.admin = http.NewServeMux()
		t.admin.Handle("/", &endpoint{
			gate: g, route: noRoute, audience: forOperator, strictOrigin: true, whileDraining: true, whileLoading: true,
		})
	}
	t.addAdminRoutes(g, c)
	return t
}

// add adds the endpoint of a route, for a pattern of [http.ServeMux].
func (t *routes) add(mux *http.ServeMux, pattern string, e *endpoint) *endpoint {
	mux.Handle(pattern, e)
	return t.enter(e)
}

// enter adds the endpoint of a route that a mux need not find.
func (t *routes) enter(e *endpoint) *endpoint {
	t.endpoints = append(t.endpoints, e)
	t.metrics.serves(e.route)
	return e
}

// addClientRoutes adds the paths of the API. pool writes to WebSockets and event streams, in rounds: 1000
// keys to 50 sockets take 0.2 µs a delivery; with a goroutine and a write for each update they took 2.0
// (BenchmarkFanoutManyKeys).
func (t *routes) addClientRoutes(g *gate, c *core, pool *actor.Pool) {
	rest, events, sockets := &restAPI{c}, newEventStreams(c, pool), newWebSockets(c, pool)
	t.keys = t.enter(newEndpoint(g, keyRoute, map[string]handler{
		http.MethodGet:    rest.getKey,
		http.MethodPost:   rest.setKey,
		http.MethodPut:    rest.setKey,
		http.MethodPatch:  rest.patchKey,
		http.MethodDelete: rest.deleteKey,
	}))
	t.any = &endpoint{gate: g, route: "*", allow: t.keys.allow}
	t.add(t.mux, keysRoute, newEndpoint(g, keysRoute, map[string]handler{
		http.MethodGet:    rest.listKeys,
		http.MethodPost:   rest.setKeys,
		http.MethodDelete: rest.deleteKeys,
	}).takes("prefix", "pattern", "limit", "after", "delimiter", "reverse").deletes("prefix", "pattern", "limit", "after"))
	t.topics = t.enter(newEndpoint(g, topicRoute, map[string]handler{http.MethodPost: rest.publish}))
	t.add(t.mux, openAPIRoute, newEndpoint(g, openAPIRoute, map[string]handler{http.MethodGet: rest.describe}))
	t.add(t.mux, socketRoute, newEndpoint(g, socketRoute, map[string]handler{http.MethodGet: sockets.accept}))
	stream := t.add(t.mux, eventsRoute, newEndpoint(g, eventsRoute, map[string]handler{http.MethodGet: events.serve}).
		takes("key", "pattern", "topic", "topicPattern", "snapshot", "last", "since", "epoch", "lastEventId", "protocol"))
	stream.strictOrigin = true
	health := t.add(t.mux, healthRoute, newEndpoint(g, healthRoute, map[string]handler{http.MethodGet: rest.alive}))
	health.audience, health.whileDraining, health.whileLoading = forAnyone, true, true
	ready := t.add(t.mux, readyRoute, newEndpoint(g, readyRoute, map[string]handler{http.MethodGet: rest.ready}))
	ready.audience, ready.whileLoading = forAnyone, true
}

// addPages adds the files for browsers. They need no token, because a page must load before
// it can ask for one.
func (t *routes) addPages(g *gate, o Options) {
	site := func(route string, get handler, patterns ...string) *endpoint {
		e := newEndpoint(g, route, map[string]handler{http.MethodGet: get})
		e.audience, e.whileLoading, e.anyQuery = forAnyone, true, true
		t.metrics.serves(route)
		for _, pattern := range patterns {
			t.mux.Handle(pattern, e)
		}
		return e
	}
	// A page that may not call loads the client all the same, which tells it so. Otherwise
	// only the browser's own log would.
	site(clientRoute, serveSite(web.Client(), "/"), "/rtdb.js", "/rtdb.d.ts").anyOrigin = true
	p := &pages{nothing: t.nothing, console: o.Console}
	if o.Public != nil {
		p.public = web.Public(o.Public)
	}
	if o.Console {
		site(consoleRoute, serveSite(web.Console(), consoleRoute), consoleRoute)
	} else {
		t.mux.Handle(consoleRoute, t.nothing)
	}
	p.endpoint = site(pagesRoute, p.serve)
	t.mux.Handle("/", p)
}

// serveSite serves the files of a site below a path.
func serveSite(site *web.Site, below string) handler {
	return func(w *response, r *http.Request) error {
		file, ok := site.Find(strings.TrimPrefix(r.URL.Path, below))
		if !ok {
			return errNoPath
		}
		return file.Serve(w, r)
	}
}

// pages answer the requests for paths that are not the API's: files of the folder
// Options.Public, and a browser at the root, which is sent to the console.
type pages struct {
	public   *web.Site // nil: there is no folder
	console  bool
	endpoint *endpoint // calls serve
	nothing  *endpoint
}

// ServeHTTP implements [http.Handler].
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if file, toConsole := p.find(r); file != nil || toConsole {
		p.endpoint.ServeHTTP(w, r)
		return
	}
	p.nothing.ServeHTTP(w, r)
}

func (p *pages) find(r *http.Request) (file *web.File, toConsole bool) {
	if p.public != nil {
		if file, ok := p.public.Find(strings.TrimPrefix(r.URL.Path, "/")); ok {
			return file, false
		}
	}
	return nil, r.URL.Path == "/" && p.console && strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (p *pages) serve(w *response, r *http.Request) error {
	file, toConsole := p.find(r)
	switch {
	case file != nil:
		return file.Serve(w, r)
	case !toConsole:
		return errNoPath
	}
	h := w.Header()
	h.Set("Location", "."+consoleRoute) // relative, because a proxy may have removed a prefix of the path
	h.Set("Vary", "Accept")
	w.empty(http.StatusFound)
	return nil
}

// addAdminRoutes adds the operator's paths: to a listener of its own, or else for
// tokens that grant admin.
func (t *routes) addAdminRoutes(g *gate, c *core) {
	add := func(pattern, route string, methods map[string]handler, parameters ...string) *endpoint {
		if c.options.Admin {
			t.mux.Handle(pattern, t.nothing) // a file of the user's folder must not take its place
		}
		e := t.add(t.admin, pattern, newEndpoint(g, route, methods).takes(parameters...))
		e.audience, e.strictOrigin, e.whileDraining, e.whileLoading = forAdmins, true, true, true
		if c.options.Admin {
			e.audience = forOperator
		}
		return e
	}
	op := &operations{c}
	add(metricsRoute, metricsRoute, map[string]handler{http.MethodGet: plain(c.metrics.exporter().ServeHTTP)})
	add(sessionsRoute, sessionsRoute, map[string]handler{http.MethodGet: op.listSessions}, "sort", "limit")
	add(sessionRoute, sessionRoute, map[string]handler{http.MethodDelete: op.kick})
	topics := add(topicsRoute, topicsRoute, map[string]handler{http.MethodGet: op.listTopics}, "prefix", "pattern", "limit", "after", "reverse")
	topics.whileLoading = false
	backup := add(backupRoute, backupRoute, map[string]handler{http.MethodGet: op.backup})
	backup.whileDraining, backup.whileLoading = false, false
	add(levelRoute, levelRoute, map[string]handler{http.MethodGet: op.getLevel, http.MethodPut: op.setLevel})
	for name, h := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": noCommandLine, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		add(profileRoute+name, profileRoute, map[string]handler{http.MethodGet: plain(h)}, "debug", "seconds", "gc")
	}
}

// plain makes a handler of one that does not fail.
func plain(h http.HandlerFunc) handler {
	return func(w *response, r *http.Request) error {
		h(w, r)
		return nil
	}
}

// serve answers a request of the main listeners. It finds keys and topics without the mux.
// The mux would redirect names with empty and dotted levels, and the client is to be told
// that they are not names. It would also take a tenth of the CPU of a write, with a copy of
// the request (BenchmarkWritesREST).
func (t *routes) serve(w *response, r *http.Request) {
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		t.any.ServeHTTP(w, r)
		return
	}
	escaped := r.URL.EscapedPath()
	first, rest, hasRest := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	if plain, err := url.PathUnescape(first); err == nil { // "/%64ata/k" is "/data/k"
		first = plain
	}
	switch {
	case hasRest && first == keySegment:
		t.serveName(w, r, t.keys, rest)
	case hasRest && first == topicSegment:
		t.serveName(w, r, t.topics, rest)
	case isClean(escaped):
		t.mux.ServeHTTP(w, r)
	default:
		t.nothing.ServeHTTP(w, r)
	}
}

// serveName answers a request for a key or a topic, whose name is decoded once.
func (t *routes) serveName(w *response, r *http.Request, e *endpoint, escaped string) {
	var err error
	if w.name, err = url.PathUnescape(escaped); err != nil {
		e = t.nothing
	}
	e.ServeHTTP(w, r)
}

// isClean reports whether the mux would leave a path as it is. There is nothing at other paths:
// the mux would redirect them.
func isClean(escaped string) bool {
	if len(escaped) > 1 {
		escaped = strings.TrimSuffix(escaped, "/") // a folder
	}
	return path.IsAbs(escaped) && escaped == path.Clean(escaped)
}
