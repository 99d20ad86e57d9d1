package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"rtdb/session"
)

// versionedProtocol is the subprotocol (RFC 6455, section 1.9) of clients that
// want versions in updates.
const versionedProtocol = "rtdb.v1"

const (
	pingInterval = 25 * time.Second
	pongTimeout  = 10 * time.Second
)

// A client is one WebSocket: its reader, and the way its session takes to it.
type client struct {
	conn conn // first, for each write begins there
	guest
	ws       *websocket.Conn
	received uint64    // messages; the reader's own
	throttle *throttle // nil: no limit
	flood    bool      // it has been too fast for too long; the reader's own

	credentials *credentials // nil: everybody may do everything

	// turn is held while a request is handled, until its reply is queued:
	// so whoever closes the session from outside does so between requests.
	// Once leaving is set no other request is begun.
	turn    sync.Mutex
	leaving atomic.Bool

	mu      sync.Mutex
	pinger  *time.Timer // nil once the session has ended
	pinging sync.WaitGroup
}

// serveWebSocket upgrades a request and hands the connection to a goroutine of
// its own, so that the one of net/http, with its buffers, is free.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet { // HEAD: there is nothing to upgrade to
		return upgradeRequired(w)
	}
	if err := s.begin(&s.sockets); err != nil {
		return err
	}
	c := new(client)
	up := &upgrader{ResponseWriter: w, conn: &c.conn}
	ws, err := websocket.Accept(up, r, &websocket.AcceptOptions{
		Subprotocols:       []string{versionedProtocol},
		InsecureSkipVerify: true, // of origins, which were checked
		OnPingReceived:     func(context.Context, []byte) bool { c.conn.endControl(); return true },
		OnPongReceived:     func(context.Context, []byte) { c.conn.endControl() },
	})
	if err != nil {
		s.end(&s.sockets)
		return upgradeRefused(up, err)
	}
	ws.SetReadLimit(-1) // readMessage has the limit, and answers first
	c.ws = ws
	o := session.Options{
		Versions: strings.EqualFold(ws.Subprotocol(), versionedProtocol), // as the library matches it
	}
	if c.conn.fd.usable() {
		o.Pool = &s.pump
	}
	c.conn.messageTimeout = s.options.MessageTimeout
	c.throttle = newThrottle(s.options.MaxRequestRate)
	if s.access.keys != nil {
		o.PermitWill = c.permitWill
	}
	c.open(s, socketRoute, w.(*response).remote, c, o)
	c.conn.session = c.session
	if s.access.keys != nil {
		c.credentials = newCredentials(&s.access, principal(r), c.warnExpiry, c.session.Close)
	}
	go c.serve()
	return nil
}

// upgradeRefused turns the library's refusal into ours.
func upgradeRefused(up *upgrader, err error) error {
	switch up.status {
	case http.StatusUpgradeRequired:
		return upgradeRequired(up.ResponseWriter)
	case http.StatusForbidden:
		return refuse(codeForbidden, "the request comes from a page of another origin")
	case 0: // after the hijack there is nobody left to answer
		return err
	}
	return &failure{code: codeInvalidRequest, status: up.status, message: "this is not a WebSocket handshake of version 13"}
}

func upgradeRequired(w http.ResponseWriter) error {
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	return &failure{
		code: codeInvalidRequest, status: http.StatusUpgradeRequired,
		message: "this path is a WebSocket: connect to it with one",
	}
}

// serve runs the session from its first message to its end.
func (c *client) serve() {
	defer c.server.end(&c.server.sockets)
	c.logOpened()
	c.server.enter(c)
	c.mu.Lock()
	c.pinger = time.AfterFunc(pingInterval, c.ping)
	c.mu.Unlock()

	cause := c.read()
	if end := endingOf(cause); end.silent && !errors.Is(cause, io.EOF) {
		// The connection is gone, and what is being written must not wait.
		c.session.Abort(cause)
		_ = c.ws.CloseNow()
	} else {
		// The client may still read: at the end of what it sends, too.
		c.session.Close(cause)
	}
	c.stopPinging()
	if end := endingOf(c.session.Cause()); end.silent && end.code == websocket.StatusNormalClosure {
		c.session.WithdrawWills() // it took its leave
	}
	stats, err := c.session.End(c.server.lifetime)
	if c.credentials != nil {
		c.credentials.stop() // after the wills, which want to know whether it has ended
	}
	if end := endingOf(cause); !end.silent {
		// Where the library sent the close frame nobody has waited for the
		// client's; else this does nothing.
		_ = c.ws.Close(end.code, end.reason)
	}
	_ = c.ws.CloseNow()
	c.pinging.Wait()
	c.server.leave(c, stats)

	c.logClosed(stats, err, c.received, c.conn.written.Load())
}

// read handles messages until the client or the connection is no good any
// more, and returns why.
func (c *client) read() error {
	// The library closes a connection whose context ends; deadlines on conn
	// do that without a goroutine's worth of work for each message.
	ctx := context.Background()
	for {
		kind, message, err := c.ws.Reader(ctx)
		switch {
		case c.conn.lateHeader(err):
			return errTooLong
		case err != nil:
			return readError(err)
		}
		if kind != websocket.MessageText {
			return errBinary
		}
		if err := c.readOne(message); err != nil {
			return err
		}
		if c.conn.empty() { // as conn.Read would, but from deep within the library
			c.session.Uncork()
		}
	}
}

// messageBuffers hold a message while it is handled. Between messages a client
// has none.
var messageBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (c *client) readOne(message io.Reader) error {
	buffer := messageBuffers.Get().(*[]byte)
	c.conn.beginMessage()
	data, err := readAll((*buffer)[:0], message, c.limit(), c.server.options.Crowded)
	late := c.conn.endMessage()
	defer func() {
		if cap(data) <= maxKeptBuffer {
			*buffer = data
			messageBuffers.Put(buffer)
		}
	}()
	switch {
	case errors.Is(err, errTooBig), errors.Is(err, errNoMemory):
		c.conn.linger.Store(true)
		return errTooBig
	case late && errors.Is(err, os.ErrDeadlineExceeded):
		return errTooLong
	case err != nil:
		return readError(err)
	case !utf8.Valid(data):
		return errNotUTF8
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.leaving.Load() || c.session.Ended() {
		return nil // only its close frame is waited for
	}
	c.received++
	c.server.metrics.received.Inc()
	c.session.Cork() // until conn.Read
	if reply := c.handle(c.server.lifetime, data); reply != nil {
		// An error says that the session has ended; the next read, that
		// the connection has.
		_ = c.session.Reply(reply)
	}
	if c.flood {
		return errFlood
	}
	return nil
}

// maxStranger is how long a message of a client may be that has not said who it is:
// enough for a token.
const maxStranger = 32 << 10

// limit is how long the next message may be.
func (c *client) limit() int {
	if c.credentials != nil && c.credentials.principal() == nil {
		return min(maxStranger, c.server.maxMessage)
	}
	return c.server.maxMessage
}

// errNoMemory ends the reading of what is long while memory is short.
var errNoMemory = errors.New("transport: no memory for a long message")

// readAll appends what r has to buffer, limit bytes at most, and no more than a
// kept buffer's where crowded says so. It asks for no more than one byte past the
// limit: the library waits for all that it is asked for.
func readAll(buffer []byte, r io.Reader, limit int, crowded func() bool) ([]byte, error) {
	for {
		if len(buffer) == cap(buffer) {
			if len(buffer) >= maxKeptBuffer && crowded != nil && crowded() {
				return buffer, errNoMemory
			}
			buffer = slices.Grow(buffer, max(512, len(buffer)))
		}
		n, err := r.Read(buffer[len(buffer):min(cap(buffer), limit+1)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case len(buffer) > limit:
			return buffer, errTooBig
		case errors.Is(err, io.EOF):
			return buffer, nil
		case err != nil:
			return buffer, err
		}
	}
}

// readError returns the cause that an error of the library's is.
func readError(err error) error {
	if endingOf(err).silent {
		return err
	}
	return fmt.Errorf("%w: %w", errNotAllowed, err)
}

// TrySend is the session's.
func (c *client) TrySend(messages []session.Message) (done bool, err error) {
	if done, err = c.conn.tryMessages(messages); done && err == nil {
		c.server.metrics.sent(messages)
	}
	return done, err
}

// Send is the session's.
func (c *client) Send(messages []session.Message) error {
	err := c.conn.writeMessages(messages)
	if err == nil {
		c.server.metrics.sent(messages)
	}
	return err
}

// Close is the session's: it tells the client why, and waits for its answer as
// long as conn allows.
func (c *client) Close(cause error) {
	end := endingOf(cause)
	if end.silent || c.conn.broken() {
		_ = c.conn.Close()
		return
	}
	if !c.conn.mayClose() {
		return
	}
	_ = c.ws.Close(end.code, end.reason) // it fails where the client has gone
}

// ping asks for a sign of life, and ends the session where none comes.
func (c *client) ping() {
	c.mu.Lock()
	if c.pinger == nil {
		c.mu.Unlock()
		return
	}
	c.pinging.Add(1)
	c.mu.Unlock()
	defer c.pinging.Done()

	// A client that is being written to shows that it lives by taking bytes:
	// conn sees to that, and a ping only stands in line. And a pong that has
	// not been read, because the reader is busy with what came before it, is
	// none that is missing.
	if !c.conn.busy() && !c.pingOnce() && !c.conn.busy() && c.conn.silent() {
		c.session.Abort(errNoPong)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinger != nil {
		c.pinger.Reset(pingInterval)
	}
}

// pingOnce reports whether the client answered, or has gone for another
// reason, which the reader knows.
func (c *client) pingOnce() bool {
	ctx, cancel := context.WithTimeout(context.Background(), pongTimeout)
	defer cancel()
	return c.ws.Ping(ctx) == nil || ctx.Err() == nil
}

// warnExpiry tells the client that its token ends.
func (c *client) warnExpiry(left time.Duration) {
	seconds := uint64(max(0, left.Round(time.Second).Seconds()))
	c.session.Tell(object(nil).text("action", "auth").number("expires_in", seconds).end())
}

func (c *client) stopPinging() {
	c.mu.Lock()
	c.pinger.Stop()
	c.pinger = nil
	c.mu.Unlock()
}

func (c *client) abort(cause error) {
	c.session.Abort(cause)
	_ = c.conn.Close()
}

func (c *client) kick() { c.session.Close(errKicked) }

func (c *client) seen() (*guest, uint64) { return &c.guest, c.conn.written.Load() }

// hangUp closes the session from outside, between two requests.
func (c *client) hangUp(cause error) {
	c.leaving.Store(true)
	c.turn.Lock()
	defer c.turn.Unlock()
	c.session.Close(cause)
}
