package transport

import (
	"cmp"
	"context"
	"io"
	"io/fs"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rtdb/session"
	"rtdb/transport/auth"
	"rtdb/transport/guard"
)

// The settings that Options have if they are 0.
const (
	DefaultMaxValueBytes    = 64 << 10
	DefaultMaxSubscriptions = 10_000
	DefaultHeaderTimeout    = 5 * time.Second
	DefaultIdleTimeout      = 60 * time.Second
	DefaultMessageTimeout   = 10 * time.Second
)

// DefaultFlushInterval is a good FlushInterval: it saves a busy server most of its system
// calls, and is too short for a person to notice. Options do not apply it: 0 holds nothing
// back. With 5000 writes a second to 50 clients, the p99 and the CPU of a delivery, compared
// with that of Redis, were 0.9 ms and 0.64 with 0.5 ms; 1.1 ms and 0.58 with 0.7 ms; 1.3 ms
// and 0.42 with 1 ms; 2.4 ms and 0.38 with 2 ms (BenchmarkFanoutPaced). On a busier machine,
// 0.5 ms gained nothing over 0.7 ms.
const DefaultFlushInterval = time.Millisecond

const (
	// messageOverhead is how much longer than the longest value a message or body
	// may be.
	messageOverhead = 1 << 20

	// maxItems is how many writes a batch may have, and how many keys a page of a
	// listing.
	maxItems = 1000

	requestTimeout = 30 * time.Second // for the whole request
	answerTimeout  = 5 * time.Second  // for the response, in addition
	maxHeaderBytes = 64 << 10
)

// Options are the settings of a [Server]. The zero value is ready to use, and logs
// nothing.
type Options struct {
	Logger        zerolog.Logger
	MaxValueBytes int // limit of a value, as it is kept; 0 means DefaultMaxValueBytes

	// FlushInterval is the longest time that an update is held back on purpose, so that
	// it is sent together with others. An update that comes later than that after the last
	// write to its client is not held back. 0 holds none back. See [actor.Pool].
	FlushInterval time.Duration

	Keys      *auth.Keys   // check tokens; nil: every client may do everything
	Anonymous *auth.Grants // of clients without a token; nil: they may do nothing

	// TokenCookie is the name of a cookie that may carry the token of a GET, a WebSocket or
	// an event stream. Pages of allowed origins may then call with cookies. "": no cookie
	// may.
	TokenCookie string

	AllowedOrigins []string      // of pages, besides the server's own, as guard.ParseOrigin returns them
	TrustedProxies guard.Proxies // proxies whose X-Forwarded-For counts

	MaxSessions      int     // WebSockets and event streams; 0 is no limit
	MaxSubscriptions int     // of a session; 0 means DefaultMaxSubscriptions
	MaxRequestRate   float64 // requests a second of a session, a token or an address; 0 is no limit
	MaxPendingBytes  int     // of topics' messages that wait for a session; 0 means session.DefaultMaxPendingBytes

	HeaderTimeout  time.Duration // for a request's header; 0 means DefaultHeaderTimeout
	IdleTimeout    time.Duration // between two requests on a connection; 0 means DefaultIdleTimeout
	MessageTimeout time.Duration // for a WebSocket message; 0 means DefaultMessageTimeout

	// Console serves the console at /console/, and sends a browser at / there.
	Console bool

	// Public is a folder of the user's own pages, which is served at / beside the API's
	// paths. These files need no token. nil: no folder is served. The FS of an [os.Root]
	// does not follow links that lead out of the folder.
	Public fs.FS

	// Node is the name of this node among several, for the operator. "": it has none.
	Node string

	// Ready returns nil if the node is ready, and otherwise the reason: the node loads its
	// state, is cut off from the other nodes, or has a state that differs from theirs. It is
	// for readiness checks; no request is refused. It must return at once.
	// nil: the node is ready when its state is loaded.
	Ready func() error

	// Takeover makes the other nodes end their session of a client that has said hello here
	// at since, and returns nil when they have, or if they cannot be asked. If a node does not
	// answer, Takeover writes the wills of its session of the client itself. The nodes call
	// [Server.EndClient] with the same arguments. subject stands for the subject of the
	// client's token, or the grants of a token without a subject. If another node has a newer
	// session of the client, Takeover returns an error that wraps ErrNewerSession. Another
	// error refuses the hello. ctx ends after 5 s, or if the client's session must end. nil:
	// there are no other nodes.
	Takeover func(ctx context.Context, client, subject string, since time.Time) error

	// Admin serves the operator's paths by ServeAdmin alone, and not by Serve.
	Admin bool

	// Level is the log level, which the operator may change. nil: it cannot be
	// changed.
	Level Level

	// LogDropped returns how many lines of the log were lost because its sink did not
	// take them, for the metrics. nil: none.
	LogDropped func() uint64

	// Collectors collect metrics of the program, which /metrics shows beside the server's.
	// Their names must differ from those of the server's metrics. /metrics may call them
	// before the keyspace is loaded.
	Collectors []prometheus.Collector

	// Backup writes a consistent copy of the state to w, as a tar file. It must return soon
	// after ctx has ended or a write to w has failed. It may be called by many goroutines at
	// the same time. If it is nil, the state is in memory only, and there are no backups.
	Backup func(ctx context.Context, w io.Writer) error

	// Crowded reports that memory is short: then no session is opened, and little
	// waits for each. It must return at once. nil: memory is never short.
	Crowded func() bool
}

// A Level is the lowest level of the log, which can be changed while the server runs.
type Level interface {
	Current() string
	Change(level string) error
}

// settled returns the options with the defaults in place of 0.
func (o Options) settled() Options {
	o.MaxValueBytes = cmp.Or(o.MaxValueBytes, DefaultMaxValueBytes)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, DefaultMaxSubscriptions)
	o.MaxPendingBytes = cmp.Or(o.MaxPendingBytes, session.DefaultMaxPendingBytes)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, DefaultHeaderTimeout)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
	o.MessageTimeout = cmp.Or(o.MessageTimeout, DefaultMessageTimeout)
	return o
}
