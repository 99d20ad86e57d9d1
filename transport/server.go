package transport

import (
	"context"
	"errors"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"rtdb/actor"
	"rtdb/keyspace"
)

const (
	// DefaultMaxValueBytes is the longest value where Options do not say.
	DefaultMaxValueBytes = 64 << 10

	// messageOverhead is how much longer than the longest value a message
	// or body may be.
	messageOverhead = 1 << 20

	headerTimeout  = 5 * time.Second  // for a request's header
	idleTimeout    = 60 * time.Second // between the requests of a connection
	requestTimeout = 30 * time.Second // for all of a request, and for its answer
	maxHeaderBytes = 64 << 10
)

// Options are the settings of a [Server]. The zero value is ready to use, and
// logs nothing.
type Options struct {
	Logger        zerolog.Logger
	MaxValueBytes int // the longest value, in bytes as it is kept; 0 means DefaultMaxValueBytes

	// FlushInterval is the shortest time between two writes to a WebSocket
	// that updates alone cause, and so the longest that one is held back on
	// purpose; one that follows none is not. 0 holds none back.
	FlushInterval time.Duration
}

// DefaultFlushInterval costs busy clients a fraction of the system calls, and
// nobody who only looks can tell.
const DefaultFlushInterval = 2 * time.Millisecond

// A Server serves a keyspace over HTTP and WebSocket.
type Server struct {
	keyspace   *keyspace.Keyspace
	log        zerolog.Logger
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
	end      context.CancelFunc

	sockets, streams sync.WaitGroup // one for each, from before it is open

	mu       sync.Mutex
	draining bool // nothing new is begun
	closing  bool // streams end, too
	guests   map[visitor]struct{}
}

// NewServer returns a server that does not listen yet.
func NewServer(ks *keyspace.Keyspace, o Options) *Server {
	if o.MaxValueBytes == 0 {
		o.MaxValueBytes = DefaultMaxValueBytes
	}
	s := &Server{
		keyspace:   ks,
		log:        o.Logger,
		maxValue:   o.MaxValueBytes,
		maxMessage: o.MaxValueBytes + messageOverhead,
		guests:     make(map[visitor]struct{}),
		pump:       actor.Pool{Interval: o.FlushInterval},
	}
	s.addRoutes()
	s.lifetime, s.end = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 requestTimeout,
		IdleTimeout:                  idleTimeout,
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
	res := &response{ResponseWriter: w, route: "none"}
	s.route(res, r)
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
		s.hangUp(socketRoute)
		s.sockets.Wait()
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.hangUp(eventsRoute)
		close(gone)
	})
	defer waiter.Wait()

	var cut error
	select {
	case <-gone:
	case <-ctx.Done():
		cut = context.Cause(ctx)
		s.end() // what waits for the keyspace gives up
		s.abortAll()
	}
	if s.http.Shutdown(ctx) != nil { // it closes the listeners, and waits for streams, too
		s.end()
		s.abortAll()
		cut = errors.Join(context.Cause(ctx), s.http.Close())
	}
	s.streams.Wait()
	s.end()
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

// begin counts a session that is about to open, or reports that none may.
func (s *Server) begin(sessions *sync.WaitGroup) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	sessions.Add(1)
	return true
}

// hangUp ends the sessions of a route, all at once.
func (s *Server) hangUp(route string) {
	var closers sync.WaitGroup
	s.mu.Lock()
	for v := range s.guests {
		if v.of() == route {
			closers.Go(func() { v.hangUp(errRestart) })
		}
	}
	s.mu.Unlock()
	closers.Wait()
}

// A visitor is a session as Shutdown sees it.
type visitor interface {
	of() (route string)
	hangUp(cause error) // ends it when what waits was sent, and may wait for a request
	abort(cause error)  // cuts it off; does not wait
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

func (s *Server) leave(v visitor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.guests, v)
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
