package transport

import (
	"cmp"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"rtdb/session"
)

// The routes of the operator.
const (
	metricsRoute  = "/metrics"
	sessionsRoute = "/sessions"
	sessionRoute  = "/sessions/{id}"
	profileRoute  = "/debug/pprof/"
	levelRoute    = "/log-level"
)

// addAdminRoutes makes the operator's paths. Where open is set they answer without
// a token: whoever reaches their listener is the operator.
func (s *Server) addAdminRoutes(mux *http.ServeMux, open bool) {
	add := func(path, route string, methods map[string]handler, query ...string) {
		e := s.endpoint(route, methods).takes([]string{http.MethodGet, http.MethodHead}, query...)
		e.admin, e.public, e.local, e.whenGone = !open, open, open, true
		mux.Handle(path, e)
	}
	metrics := s.metrics.handler()
	add(metricsRoute, metricsRoute, map[string]handler{http.MethodGet: plainly(metrics.ServeHTTP)})
	add(sessionsRoute, sessionsRoute, map[string]handler{http.MethodGet: s.listSessions}, "sort", "limit")
	add("/sessions/{id}", sessionRoute, map[string]handler{http.MethodDelete: s.kick})
	add(levelRoute, levelRoute, map[string]handler{http.MethodGet: s.getLevel, http.MethodPut: s.setLevel})
	profile := []string{"debug", "seconds", "gc"}
	for path, h := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": nil, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		if h == nil {
			h = noCommandLine
		}
		add(profileRoute+path, profileRoute, map[string]handler{http.MethodGet: plainly(h)}, profile...)
	}
}

// noCommandLine answers for the command line: a secret may stand in it.
func noCommandLine(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("rtdb")) // it fails where the client has gone
}

func plainly(h http.HandlerFunc) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h(w, r)
		return nil
	}
}

// ServeAdmin answers the operator on a listener of its own until Shutdown: without
// tokens, so that it must not be one that others reach. The server's other
// listeners then do not.
func (s *Server) ServeAdmin(l net.Listener) error {
	if err := s.adminHTTP.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// serveAdmin is the handler of that.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	res := &response{ResponseWriter: w, route: "none", remote: r.RemoteAddr}
	s.adminMux.ServeHTTP(res, r)
	s.logHTTP(res, r, time.Since(start))
}

// A seen session is one as the operator is told of it.
type seen struct {
	guest *guest
	now   session.Now
}

const (
	defaultSessions = 100
	maxSessions     = 1000
)

func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit, sort := uint64(defaultSessions), "lag"
	if query.Has("limit") {
		text, err := single(query, "limit")
		if err != nil {
			return err
		}
		n, ok := parseVersion(text)
		if !ok || n < 1 || n > maxSessions {
			return refuse(codeInvalidRequest, "limit is not a number from 1 to %d", maxSessions)
		}
		limit = n
	}
	if query.Has("sort") {
		var err error
		if sort, err = single(query, "sort"); err != nil {
			return err
		}
	}
	by, ok := map[string]func(a, b seen) int{
		"lag":   func(a, b seen) int { return cmp.Compare(b.now.Behind, a.now.Behind) },
		"bytes": func(a, b seen) int { return cmp.Compare(b.now.PendingBytes, a.now.PendingBytes) },
		"age":   func(a, b seen) int { return a.guest.opened.Compare(b.guest.opened) },
	}[sort]
	if !ok {
		return refuse(codeInvalidRequest, "sort is neither lag, bytes nor age")
	}
	var all []seen
	s.mu.Lock()
	for v := range s.guests {
		g, _ := v.seen()
		all = append(all, seen{g, g.session.Now()})
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b seen) int { return cmp.Or(by(a, b), cmp.Compare(a.guest.id, b.guest.id)) })
	body := []byte(`{"sessions":[`)
	for i, x := range all[:min(uint64(len(all)), limit)] {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, x.describe()...)
	}
	writeJSON(w, http.StatusOK, append(body, `]}`...))
	return nil
}

func (x *seen) describe() []byte {
	whole := func(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }
	return object(nil).text("id", x.guest.id).text("remote", x.guest.remote).text("route", x.guest.route).
		number("age_ms", whole(time.Since(x.guest.opened))).number("subscriptions", uint64(x.now.Subscriptions)).
		number("delivered", x.now.Delivered).number("conflated", x.now.Conflated).number("dropped", x.now.Dropped).
		number("pending_keys", uint64(x.guest.session.PendingKeys())).number("pending_bytes", uint64(x.now.PendingBytes)).
		number("lag_ms", whole(x.now.Behind)).end()
}

// kick closes a session with 4009.
func (s *Server) kick(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	s.mu.Lock()
	var found visitor
	for v := range s.guests {
		if g, _ := v.seen(); g.id == id {
			found = v
			break
		}
	}
	s.mu.Unlock()
	if found == nil {
		return refuse(codeNotFound, "there is no such session")
	}
	found.kick()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) getLevel(w http.ResponseWriter, _ *http.Request) error {
	if s.options.Level == nil {
		return refuse(codeNotFound, "the level of this server's log cannot be changed")
	}
	writeJSON(w, http.StatusOK, object(nil).text("level", s.options.Level.Current()).end())
	return nil
}

// setLevel takes {"level":"debug"}.
func (s *Server) setLevel(w http.ResponseWriter, r *http.Request) error {
	if s.options.Level == nil {
		return refuse(codeNotFound, "the level of this server's log cannot be changed")
	}
	level, err := readBody(s, w, r, parseLevel)
	if err != nil {
		return err
	}
	if err := s.options.Level.Change(level); err != nil {
		return refuse(codeInvalidRequest, "level is none of trace, debug, info, warn and error")
	}
	s.log.Warn().Str("to", level).Msg("log level changed")
	return s.getLevel(w, r)
}

func parseLevel(body []byte) (level string, err error) {
	var f field
	sc := scanner{data: body}
	err = sc.document(func(name string) error {
		v, err := sc.value()
		if err == nil && name != "level" {
			err = refuse(codeInvalidRequest, "unknown field %s", quoted(name))
		}
		if err == nil {
			f = stringField("level", v)
			err = f.err
		}
		return err
	})
	if err != nil || !f.present {
		return "", refuse(codeInvalidRequest, `the body is not {"level":…}`)
	}
	return strings.ToLower(f.text), nil
}

// A Level is the lowest level of the log, which can be changed while the server
// runs.
type Level interface {
	Current() string
	Change(level string) error
}
