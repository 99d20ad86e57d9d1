package transport

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"rtdb/session"
	"rtdb/transport/auth"
)

const (
	// DefaultMaxValueBytes is the longest value where Options do not say.
	DefaultMaxValueBytes = 64 << 10

	// messageOverhead is how much longer than the longest value a message
	// or body may be.
	messageOverhead = 1 << 20

	// DefaultMaxSubscriptions is how many names a session may subscribe to
	// where Options do not say.
	DefaultMaxSubscriptions = 10_000

	// The times where Options do not say.
	DefaultHeaderTimeout  = 5 * time.Second
	DefaultIdleTimeout    = 60 * time.Second
	DefaultMessageTimeout = 10 * time.Second

	requestTimeout = 30 * time.Second // for all of a request
	answerTimeout  = 5 * time.Second  // besides, for its answer
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

	Keys      *auth.Keys   // what tokens are checked with; nil: everybody may do everything
	Anonymous *auth.Grants // what may be done without a token; nil: nothing

	AllowedOrigins []string       // of pages besides the server's own, as ParseOrigin returns them
	TrustedProxies []netip.Prefix // whose X-Forwarded-For counts

	MaxSessions      int     // WebSockets and streams; 0 is no limit
	MaxSubscriptions int     // of a session; 0 means DefaultMaxSubscriptions
	MaxRequestRate   float64 // requests a second of a session, a token or an address; 0 is no limit
	MaxPendingBytes  int     // of topics' messages, for a session; 0 means session.DefaultMaxPendingBytes

	HeaderTimeout  time.Duration // for a request's header; 0 means DefaultHeaderTimeout
	IdleTimeout    time.Duration // between the requests of a connection; 0 means DefaultIdleTimeout
	MessageTimeout time.Duration // for a WebSocket's message; 0 means DefaultMessageTimeout

	// Admin is whether the operator is answered by ServeAdmin alone, and not by
	// Serve.
	Admin bool

	// Level is that of the log, for the operator to change. nil: it cannot be.
	Level Level

	// Crowded says that memory is short: no session is opened then, and little
	// waits for one. It must return at once. nil: it never is.
	Crowded func() bool
}

// settled returns the options with what stands for 0.
func (o Options) settled() Options {
	o.MaxValueBytes = cmp.Or(o.MaxValueBytes, DefaultMaxValueBytes)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, DefaultMaxSubscriptions)
	o.MaxPendingBytes = cmp.Or(o.MaxPendingBytes, session.DefaultMaxPendingBytes)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, DefaultHeaderTimeout)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
	o.MessageTimeout = cmp.Or(o.MessageTimeout, DefaultMessageTimeout)
	return o
}

// DefaultFlushInterval costs busy clients a fraction of the system calls, and
// nobody who only looks can tell.
const DefaultFlushInterval = 2 * time.Millisecond
