package transport

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
)

// A Server serves a keyspace over HTTP and WebSocket.
type Server struct {
	keyspace   *keyspace.Keyspace
	log        zerolog.Logger
	options    Options
	access     access
	origins    *origins
	rates      rates
	metrics    *metrics
	adminMux   *http.ServeMux
	adminHTTP  http.Server
	maxValue   int
	maxMessage int
	http       http.Server
	pump       actor.Pool // writes to the WebSockets
	unused     unusedConns
	mux        *http.ServeMux
	endpoints  []*endpoint
	nothing    *endpoint // at a path that is none of ours
	any        *endpoint // what * stands for in OPTIONS *

	lifetime context.Context // of what sessions ask of the keyspace
	endLife  context.CancelFunc

	sockets, streams sync.WaitGroup // one for each, from before it is open

	mu       sync.Mutex
	draining bool // nothing new is begun
	closing  bool // streams end, too
	sessions int  // that are open, or about to be
	ended    total
	guests   map[visitor]struct{}
}

// NewServer returns a server that does not listen yet.
func NewServer(ks *keyspace.Keyspace, o Options) *Server {
	o = o.settled()
	s := &Server{
		keyspace:   ks,
		log:        o.Logger,
		options:    o,
		access:     newAccess(o.Keys, o.Anonymous),
		origins:    newOrigins(o.AllowedOrigins),
		rates:      rates{perSecond: o.MaxRequestRate},
		maxValue:   o.MaxValueBytes,
		maxMessage: o.MaxValueBytes + messageOverhead,
		guests:     make(map[visitor]struct{}),
		pump:       actor.Pool{Interval: o.FlushInterval},
	}
	s.metrics = newMetrics(s)
	s.addRoutes()
	s.adminMux = s.mux
	if o.Admin {
		s.adminMux = http.NewServeMux()
		s.adminMux.Handle("/", &endpoint{server: s, route: "none", public: true, local: true, whenGone: true})
	}
	s.addAdminRoutes(s.adminMux, o.Admin)
	s.adminHTTP = http.Server{
		Handler:           http.HandlerFunc(s.serveAdmin),
		BaseContext:       listenerContext,
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          stdlog.New(httpErrors{s.log}, "", 0),
	}
	s.lifetime, s.endLife = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:                      s,
		BaseContext:                  listenerContext,
		ReadHeaderTimeout:            o.HeaderTimeout,
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 requestTimeout + answerTimeout,
		IdleTimeout:                  o.IdleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     stdlog.New(httpErrors{s.log}, "", 0),
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered as the rest
		ConnContext:                  s.unused.context,
		ConnState:                    s.unused.state,
	}
	s.unused.conns = make(map[net.Conn]struct{})
	s.http.RegisterOnShutdown(s.unused.close) // once the listeners are closed
	return s
}

// Serve accepts connections on l until Shutdown. It may be called for several
// listeners. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP answers one request. It is for Serve; other servers may use it too.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	s.unused.used(r)
	res := &response{ResponseWriter: w, route: "none", remote: remoteOf(r, s.options.TrustedProxies)}
	s.route(res, r)
	s.metrics.answered(res.route, res.status)
	s.logHTTP(res, r, time.Since(start))
}

func (s *Server) route(w *response, r *http.Request) {
	if r.Method == http.MethodOptions && r.RequestURI == "*" { // the server as a whole
		s.any.ServeHTTP(w, r)
		return
	}
	literal, ok := literally(r)
	if !ok {
		s.nothing.ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, literal)
}

// fail answers with an error.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	f := explain(err)
	if res, ok := w.(*response); ok {
		res.code, res.err = f.code, err
	}
	writeFailure(w, r, f)
}

// Shutdown ends the server: new requests are refused while the listeners stay
// open, sessions are told to go once what waits for them is sent, and only
// then are the listeners closed and the requests in flight waited for. So a
// client that comes meanwhile is told to go elsewhere, and is not left with a
// connection that nobody accepts. Streams of events end last, right before the
// listeners: a browser comes again after a second or two, and would take a
// refusal for the end of it, but not a listener that is closed. Where ctx ends first, what is left is
// cut off, and its cause is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()

	gone := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() {
		s.hangUp(ctx, socketRoute)
		s.sockets.Wait()
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.hangUp(ctx, eventsRoute)
		close(gone)
	})
	defer waiter.Wait()

	var cut error
	select {
	case <-gone:
	case <-ctx.Done():
		cut = context.Cause(ctx)
		s.endLife() // what waits for the keyspace gives up
		s.abortAll()
	}
	if s.http.Shutdown(ctx) != nil { // it closes the listeners, and waits for streams, too
		s.endLife()
		s.abortAll()
		cut = errors.Join(context.Cause(ctx), s.http.Close())
	}
	s.streams.Wait()
	s.endLife()
	cut = errors.Join(cut, s.adminHTTP.Close()) // last, for the operator looks on
	return cut
}

// Sessions returns how many WebSockets and streams are open.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.guests)
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// begin counts a session that is about to open, or returns why none may. It is
// followed by end.
func (s *Server) begin(kind *sync.WaitGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch most := s.options.MaxSessions; {
	case s.draining:
		return errDraining
	case most > 0 && s.sessions >= most:
		return &failure{
			code: codeLimitReached, status: http.StatusServiceUnavailable, retry: sessionRetry(),
			message: fmt.Sprintf("there are as many sessions as are allowed: %d", most),
		}
	case s.options.Crowded != nil && s.options.Crowded():
		return &failure{
			code: codeLimitReached, status: http.StatusServiceUnavailable, retry: sessionRetry(),
			message: "the server has no memory left for another session",
		}
	}
	s.sessions++
	kind.Add(1)
	return nil
}

// sessionRetry has those who are refused not come back all at once.
func sessionRetry() time.Duration { return time.Second + rand.N(9*time.Second) }

func (s *Server) end(kind *sync.WaitGroup) {
	s.mu.Lock()
	s.sessions--
	s.mu.Unlock()
	kind.Done()
}

// Sessions up to fewSessions are ended all at once. More are spread, 2 ms for each
// but no more than spreadShare of the time there is, so that not all of them come
// back at the same moment, to wherever that is.
const (
	fewSessions = 100
	spreadEach  = 2 * time.Millisecond
	spreadShare = 0.6
)

// hangUp ends the sessions of a route, in no order.
func (s *Server) hangUp(ctx context.Context, route string) {
	var leaving []visitor
	s.mu.Lock()
	for v := range s.guests {
		if v.of() == route {
			leaving = append(leaving, v)
		}
	}
	s.mu.Unlock()
	rand.Shuffle(len(leaving), func(i, j int) { leaving[i], leaving[j] = leaving[j], leaving[i] })
	spread := time.Duration(0)
	if n := len(leaving); n > fewSessions {
		spread = time.Duration(n) * spreadEach
		if end, ok := ctx.Deadline(); ok {
			spread = min(spread, time.Duration(spreadShare*float64(time.Until(end))))
		}
	}
	start := time.Now()
	var closers sync.WaitGroup
	for i, v := range leaving {
		due := spread * time.Duration(i) / time.Duration(len(leaving))
		if wait := due - time.Since(start); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done(): // the others are cut off
			}
		}
		closers.Go(func() { v.hangUp(errRestart) })
	}
	closers.Wait()
}

// A visitor is a session as Shutdown sees it.
type visitor interface {
	of() (route string)
	hangUp(cause error) // ends it when what waits was sent, and may wait for a request
	abort(cause error)  // cuts it off; does not wait
	kick()              // closes it; does not wait
	seen() (g *guest, bytes uint64)
}

// enter makes a session known to Shutdown.
func (s *Server) enter(v visitor) {
	s.mu.Lock()
	late := s.closing || s.draining && v.of() == socketRoute
	s.guests[v] = struct{}{}
	s.mu.Unlock()
	if late { // it was being opened meanwhile
		v.hangUp(errRestart)
	}
}

// leave forgets a session, but not what it has done.
func (s *Server) leave(v visitor, stats session.Stats) {
	g, bytes := v.seen()
	s.metrics.ends.WithLabelValues(endingOf(g.session.Cause()).reason).Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.guests, v)
	s.ended.add(stats, bytes)
}

func (s *Server) abortAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.guests {
		v.abort(errRestart)
	}
}

// milliseconds returns d with microseconds behind the point.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// httpErrors takes what net/http has to say about connections into the log.
type httpErrors struct {
	log zerolog.Logger
}

func (h httpErrors) Write(p []byte) (int, error) {
	h.log.Warn().Str("error", strings.TrimSpace(string(p))).Msg("http error")
	return len(p), nil
}
