package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/guard"
	"rtdb/transport/socket"
)

// A Server serves a keyspace over HTTP and WebSocket.
type Server struct {
	core   *core
	routes *routes
	cutOff context.CancelFunc // ends core.lifetime
	unused socket.Unused
	links  socket.Links // both servers' connections
	http   http.Server
	admin  http.Server // of the operator's listener
}

// NewServer returns a server that does not listen yet. The keyspace need not be loaded
// (keyspace.New): until it is, the server answers only health checks and the operator.
func NewServer(ks *keyspace.Keyspace, o Options) *Server {
	o = o.settled()
	s := &Server{}
	s.core = &core{
		options:  o,
		keyspace: ks,
		access:   newAccess(o),
		clients:  newRegistry(o.MaxSessions, o.Crowded),
	}
	s.core.lifetime, s.cutOff = context.WithCancel(context.Background())
	s.core.backups.init()
	s.core.metrics = newMetrics(ks, s.core.clients, o)
	s.routes = newRoutes(s.core, &actor.Pool{Interval: o.FlushInterval})
	errorLog := stdlog.New(httpErrors{o.Logger}, "", 0)
	s.http = http.Server{
		Handler:                      s,
		BaseContext:                  guard.ListenerContext,
		ReadHeaderTimeout:            o.HeaderTimeout,
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 requestTimeout + answerTimeout,
		IdleTimeout:                  o.IdleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     errorLog,
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered as the others are
		ConnContext:                  s.connContext,
		ConnState:                    s.unused.ConnState,
	}
	s.http.RegisterOnShutdown(s.unused.Close) // when the listeners are closed
	s.admin = http.Server{
		Handler:           http.HandlerFunc(s.serveAdmin),
		BaseContext:       guard.ListenerContext,
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errorLog,
		ConnContext:       s.connContext,
	}
	return s
}

// connContext is called for each connection that is accepted.
func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	s.links.Add(c)
	return s.unused.ConnContext(ctx, c)
}

// Serve accepts connections on l until Shutdown. It may be called for several
// listeners. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error { return serve(&s.http, l) }

// ServeAdmin serves the operator on a listener of its own until Shutdown. It asks
// for no token, so nobody else must reach that listener. With Options.Admin the
// operator's paths are not served by Serve.
func (s *Server) ServeAdmin(l net.Listener) error { return serve(&s.admin, l) }

func serve(server *http.Server, l net.Listener) error {
	if err := server.Serve(socket.Listener{Listener: l}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP answers one request. If it is the handshake of a WebSocket, ServeHTTP may return only
// when the WebSocket ends. Serve uses it; other HTTP servers may, too. Their
// connections are held longer if the peer vanishes, except for WebSockets, unless their
// [http.Server].ConnContext adds them to [socket.Links].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	s.unused.Used(r)
	res := &response{ResponseWriter: w, route: noRoute, remote: s.core.options.TrustedProxies.RemoteAddr(r)}
	s.routes.serve(res, r)
	s.core.metrics.answered(res.route, cmp.Or(res.refusal, res.status))
	res.end(s.core.options.Logger, r, start)
	if res.afterwards != nil {
		defer endProcess() // if it panics
		res.afterwards()
	}
}

// endProcess ends the process if the function that defers it panics, with the panic's stack.
// net/http would recover, and a session would be left that nobody serves.
func endProcess() {
	if v := recover(); v != nil {
		text := fmt.Sprintf("%v\n\n%s", v, debug.Stack())
		go func() { panic(text) }()
		select {}
	}
}

// serveAdmin answers one request of the operator's listener.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	res := &response{ResponseWriter: w, route: noRoute, remote: guard.Proxies{}.RemoteAddr(r)}
	s.routes.admin.ServeHTTP(res, r)
	res.end(s.core.options.Logger, r, start)
}

// Sessions returns the number of open WebSockets and event streams.
func (s *Server) Sessions() int { return s.core.clients.len() }

// Stale tells the clients that speak rtdb.v1, and the event streams, that the state may be
// old since a time, for example because the node is cut off from the others. Clients that
// connect later are told when they do, until Fresh is called. If the state is stale already,
// Stale does nothing. It does not wait for the clients.
func (s *Server) Stale(since time.Time) {
	if since.IsZero() {
		since = time.Now()
	}
	s.core.clients.setStale(since)
}

// Fresh tells the clients that the state is current again. The notice comes after every
// update that was delivered before. If the state is not stale, Fresh does nothing.
func (s *Server) Fresh() { s.core.clients.setStale(time.Time{}) }

// EndSessions ends the WebSockets and event streams that are open, as a shutdown does, with
// close code 1012 and a reason of at most 123 bytes, and waits until they have left and their
// wills are written. New ones are not refused. If ctx ends first, EndSessions cuts off the
// clients that are left and returns the cause. A request under way may hold it up.
func (s *Server) EndSessions(ctx context.Context, reason string) error {
	return s.core.clients.endAll(ctx, &restartError{reason})
}

// EndClient ends the session of a client that has said hello on another node at since, and
// waits until the session has left: then its wills are written. The other node's
// [Options.Takeover] has the client and the subject. If ctx ends first, EndClient returns the
// cause. If the session here has said hello later than since, it stays, and newer is true.
// EndClient must be called within 5 s of since: a session here that said hello more than 5 s
// ago is the older one, whatever the clocks of the nodes say. So clocks that differ can only
// change the order of two hellos of the same moment.
func (s *Server) EndClient(ctx context.Context, client, subject string, since time.Time) (newer bool, err error) {
	return s.core.clients.endNamed(ctx, clientName{client, subject}, since)
}

// Shutdown ends the server gracefully. New requests are refused while the listeners stay
// open, so that a client is told to go elsewhere instead of waiting for a connection that
// nobody accepts. WebSockets are closed after their waiting messages were sent. Event
// streams end last, right before the listeners. So they carry the wills of the WebSockets,
// and a client that gives up a stream after status 503 does not reconnect to get it. If
// ctx ends first, Shutdown cuts off the clients that are left and returns the cause.
// Backups are broken off at once. It may be called more than once, and at the same time.
func (s *Server) Shutdown(ctx context.Context) error {
	s.core.backups.end()
	gone := make(chan struct{})
	var draining sync.WaitGroup
	draining.Go(func() {
		s.core.clients.drain(ctx)
		close(gone)
	})
	var cut error
	select {
	case <-gone:
	case <-ctx.Done():
		cut = context.Cause(ctx)
		s.cutOff()
		s.core.clients.abortAll()
	}
	if s.http.Shutdown(ctx) != nil { // it closes the listeners and waits for requests
		s.cutOff()
		s.core.clients.abortAll()
		cut = errors.Join(context.Cause(ctx), s.http.Close())
	}
	stop := context.AfterFunc(ctx, func() { // net/http does not know the event streams any more
		s.cutOff()
		s.core.clients.abortAll()
	})
	left := make(chan struct{})
	go func() {
		draining.Wait()
		s.core.clients.wait()
		close(left)
	}()
	s.awaitLast(ctx, left)
	if !stop() && cut == nil {
		cut = context.Cause(ctx)
	}
	s.core.backups.wait()
	s.cutOff()
	return errors.Join(cut, s.admin.Close()) // last, so that the operator can read the metrics meanwhile
}

// awaitLast waits until all clients have left. After the end of ctx, which has cut them off, they
// have the time that their wills may take. A client whose goroutine waits for a disk that has
// stopped to answer does not leave.
func (s *Server) awaitLast(ctx context.Context, left <-chan struct{}) {
	select {
	case <-left:
	case <-ctx.Done():
		select {
		case <-left:
		case <-time.After(session.WillTime(s.core.keyspace) + time.Second):
		}
	}
}

// httpErrors writes net/http's reports about connections to the log.
type httpErrors struct {
	log zerolog.Logger
}

func (h httpErrors) Write(p []byte) (int, error) {
	h.log.Warn().Str("error", strings.TrimSpace(string(p))).Msg("http error")
	return len(p), nil
}
