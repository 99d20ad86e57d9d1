package client

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	connectTimeout = 10 * time.Second // of one attempt, up to the first reply
	closeTimeout   = time.Second      // for the server's answer to a close frame
	stableAfter    = 5 * time.Second  // a connection that lasts for this time resets the back-off

	// maxMessageBytes is the longest message that is read. The server decides how long a
	// value may be; this only bounds the memory that a broken server can take.
	maxMessageBytes = 64 << 20
)

// An Option configures a client. A nil function, a nil logger and a time that is not above 0
// stand for the default.
type Option func(*options)

type options struct {
	token        func(context.Context) (string, error)
	logger       *slog.Logger
	onState      func(State, error)
	name         string
	http         *http.Client
	socket       string
	pingAfter    time.Duration
	pingTimeout  time.Duration
	writeTimeout time.Duration
	backoffMin   time.Duration
	backoffMax   time.Duration
}

func newOptions(all []Option) options {
	var o options
	for _, set := range all {
		set(&o)
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	if o.onState == nil {
		o.onState = func(State, error) {}
	}
	orDefault(&o.pingAfter, 25*time.Second)
	orDefault(&o.pingTimeout, 8*time.Second)
	orDefault(&o.writeTimeout, 10*time.Second)
	orDefault(&o.backoffMin, 500*time.Millisecond)
	orDefault(&o.backoffMax, max(20*time.Second, o.backoffMin))
	return o
}

// orDefault sets a time that is not positive: with it the client would ping or connect
// without a pause.
func orDefault(d *time.Duration, usual time.Duration) {
	if *d <= 0 {
		*d = usual
	}
}

// WithToken sets the function that gives tokens. The client calls it before each attempt
// to connect, and when the server says that the token expires soon. It must return when
// its context ends. [ErrUnauthorized] ends the client; after another error the client
// tries again. An empty token means that the client sends none.
func WithToken(f func(context.Context) (string, error)) Option {
	return func(o *options) { o.token = f }
}

// WithLogger sets the logger. By default nothing is logged.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// OnState sets a function that is told each new state, with the reason if the client is
// waiting or closed. The calls come one after another. The function must return soon, and
// must not call [Client.Close].
func OnState(f func(State, error)) Option { return func(o *options) { o.onState = f } }

// WithName gives the client a name of 1 to 128 bytes. When it connects, the server ends an
// older session of the same name and token subject, and writes the wills of that session.
// The older client then ends with [ErrReplaced].
func WithName(name string) Option { return func(o *options) { o.name = name } }

// WithHTTPClient sets the HTTP client that opens connections, for example to change the
// TLS configuration. It is not closed with the client.
func WithHTTPClient(h *http.Client) Option { return func(o *options) { o.http = h } }

// WithSocket connects to the Unix socket at a path. The URL then only says which scheme
// and path to use, such as http://localhost. It has no effect together with
// [WithHTTPClient].
func WithSocket(path string) Option { return func(o *options) { o.socket = path } }

// WithPing sets how often the server is asked for a sign of life (default 25 s), and how
// long it may take to answer (8 s) before the connection is given up.
func WithPing(after, timeout time.Duration) Option {
	return func(o *options) { o.pingAfter, o.pingTimeout = after, timeout }
}

// WithWriteTimeout sets how long a request waits for a connection (default 10 s) before it
// fails with [ErrOffline].
func WithWriteTimeout(d time.Duration) Option { return func(o *options) { o.writeTimeout = d } }

// WithBackoff sets the shortest and the longest ceiling of the random wait between
// attempts to connect (default 500 ms and 20 s).
func WithBackoff(shortest, longest time.Duration) Option {
	return func(o *options) { o.backoffMin, o.backoffMax = shortest, longest }
}

// httpClient returns the HTTP client to use, and whether it belongs to this client.
func (o *options) httpClient() (h *http.Client, own bool) {
	if o.http != nil {
		return o.http, false
	}
	dialer := net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: connectTimeout,
		ForceAttemptHTTP2:   true, // for lists; a WebSocket is opened over HTTP/1.1
		IdleConnTimeout:     time.Minute,
	}
	if o.socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", o.socket)
		}
	}
	return &http.Client{Transport: t}, true
}
