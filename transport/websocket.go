package transport

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/auth"
	"rtdb/transport/guard"
	"rtdb/transport/rawjson"
	"rtdb/transport/socket"
)

// versionedProtocol is the subprotocol (RFC 6455, section 1.9) of clients that want
// versions in updates.
const versionedProtocol = "rtdb.v1"

// webSockets is the endpoint of WebSockets.
type webSockets struct {
	*core
	pool    *actor.Pool // writes to the clients
	readers socket.Readers
}

func newWebSockets(c *core, pool *actor.Pool) *webSockets {
	return &webSockets{core: c, pool: pool, readers: socket.Readers{
		MessageTimeout: c.options.MessageTimeout, Crowded: c.options.Crowded,
	}}
}

// accept upgrades a request. net/http's goroutine serves the connection until it is parked. With a
// goroutine of its own, whose stack would have to grow, a connection took 7% more CPU
// (BenchmarkConnect).
func (x *webSockets) accept(w *response, r *http.Request) error {
	if r.Method != http.MethodGet || r.ProtoMajor != 1 { // HEAD and HTTP/2 cannot be upgraded
		return upgradeRequired(w, r)
	}
	if err := x.clients.reserve(webSocketClient); err != nil {
		return err
	}
	c := &webSocket{core: x.core}
	w.status = http.StatusSwitchingProtocols // Accept writes the response past w
	err := c.conn.Accept(w, r, socket.Options{
		Subprotocols: []string{versionedProtocol}, Readers: &x.readers,
	})
	if err != nil {
		x.clients.release(webSocketClient)
		return handshakeError(w, r, err)
	}
	var o session.Options
	if strings.EqualFold(c.conn.Subprotocol(), versionedProtocol) { // the library matches it in any case
		o.Encoder, c.versioned = versionedEncoder, true
	}
	if c.conn.CanTry() {
		o.Pool = x.pool
	}
	if x.access.keys != nil {
		o.PermitWill = func(will session.Will) bool {
			return c.authorize((*auth.Grants).MayChange, will.Target) == nil
		}
	}
	c.throttle = guard.NewThrottle(x.options.MaxRequestRate)
	x.open(&c.client, webSocketClient, w.remote, c, o)
	c.conn.Start(c.session)
	if x.access.keys != nil {
		c.credentials = newCredentials(w.principal, c.warnExpiry, c.session.Close)
	}
	if c.conn.CanTry() {
		w.afterwards = c.serve
	} else { // it is never parked, and net/http's goroutine would take 20 KB more
		go c.serve()
	}
	return nil
}

// handshakeError returns the client's error if Accept fails.
func handshakeError(w *response, r *http.Request, err error) error {
	var refused *socket.HandshakeError
	if !errors.As(err, &refused) { // the connection was taken over, so no response can be sent
		return err
	}
	w.status = 0 // nothing was sent
	if refused.Status == http.StatusUpgradeRequired {
		return upgradeRequired(w, r)
	}
	return &failure{
		code: codeInvalidRequest, status: refused.Status,
		message: "this is not a WebSocket handshake of version 13",
	}
}

// upgradeRequired answers a request that is not a WebSocket handshake. Over HTTP/2 it leaves
// out the headers that ask for an upgrade: HTTP/2 forbids them, and clients end the request
// with a protocol error (RFC 9113, section 8.2.2).
func upgradeRequired(w *response, r *http.Request) error {
	how := "over HTTP/1.1"
	if r.ProtoMajor == 1 {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		how = "with a WebSocket client"
	}
	return &failure{
		code: codeInvalidRequest, status: http.StatusUpgradeRequired,
		message: "this path is a WebSocket: connect to it " + how,
	}
}

// A webSocket is a client that is connected by a WebSocket.
type webSocket struct {
	conn socket.Conn // first, because each write begins there
	core *core
	client
	pinger socket.Pinger

	// These fields belong to the call of Handle.
	received uint64 // messages
	burst    keyspace.Burst
	inBurst  bool            // a write has come that another one follows
	throttle *guard.Throttle // nil: no limit
	tooFast  bool            // the client has exceeded the limit for too long

	versioned bool // the client speaks rtdb.v1

	credentials *credentials // nil: no keys are configured, and every client may do everything

	// turn is held while a request is handled, until its reply is queued. So hangUp
	// ends the session between two requests. Once leaving is set no other request is
	// begun.
	turn    sync.Mutex
	leaving atomic.Bool
}

// serve runs the client from its first message on.
func (c *webSocket) serve() {
	c.core.enter(&c.client)
	if c.versioned {
		c.core.clients.inform(&c.client)
	}
	c.pinger.Start(&c.conn, func() { c.session.Abort(errNoPong) })
	c.conn.Serve(c)
}

// Stop implements [socket.Handler].
func (c *webSocket) Stop(cause error, gone bool) {
	if !gone { // the client may still read, even if it sends nothing more
		c.session.Close(cause)
		return
	}
	c.session.Abort(cause)
	c.conn.Release() // a write under way must not wait
}

// End implements [socket.Handler].
func (c *webSocket) End(cause error) {
	defer c.core.clients.release(webSocketClient)
	c.endBurst() // its last message was too big
	c.pinger.Stop()
	if c.conn.LeftNormally() {
		c.session.WithdrawWills()
	}
	c.core.leave(&c.client, c.received, func() {
		if c.credentials != nil {
			c.credentials.stop() // after the wills, which ask whether the token has expired
		}
		if end := endingOf(cause); !end.silent {
			c.conn.Await(end.code, end.reason)
		}
		c.conn.Release()
	})
}

// Handle implements [socket.Handler].
func (c *webSocket) Handle(text []byte) error {
	err := c.handleMessage(text)
	if c.inBurst && (err != nil || !c.conn.More()) {
		c.endBurst()
	}
	return err
}

// endBurst ends the burst of writes, if there is one. It comes before all that may take long.
func (c *webSocket) endBurst() {
	if c.inBurst {
		c.inBurst = false
		c.burst.End()
	}
}

func (c *webSocket) handleMessage(text []byte) error {
	if !utf8.Valid(text) {
		return errNotUTF8
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.leaving.Load() || c.session.Ending() && !c.left() {
		return nil // only the close frame is waited for
	}
	c.received++
	c.core.metrics.received.Inc()
	c.session.Cork() // until nothing that was read is left
	c.handle(c.core.lifetime, text)
	if c.tooFast {
		return errTooFast
	}
	return nil
}

// reply queues a reply. If that must wait, the burst ends before.
func (c *webSocket) reply(text []byte) {
	if c.session.TryReply(text) {
		return
	}
	c.endBurst()
	c.conn.Detach()
	_ = c.session.Reply(text) // an error says that the session is ending, as the next read finds
}

// left reports, when the session is ending, whether the client has left by itself. Then
// requests that were read before still take effect. If the server has ended the session,
// they do not: their token may have expired.
func (c *webSocket) left() bool {
	cause := c.session.Cause()
	return cause == nil || endingOf(cause).silent || errors.Is(cause, socket.ErrStalled) || errors.Is(cause, errNoPong)
}

// maxUnauthenticated is how long a message of a client without a token may be. It is
// enough for a token.
const maxUnauthenticated = 32 << 10

// MaxMessage implements [socket.Handler].
func (c *webSocket) MaxMessage() int {
	if c.hasToken() {
		return c.core.maxMessage()
	}
	// A token may be being verified. Its request has the turn.
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.hasToken() {
		return c.core.maxMessage()
	}
	return min(maxUnauthenticated, c.core.maxMessage())
}

// hasToken reports whether the client has authenticated, or need not.
func (c *webSocket) hasToken() bool {
	return c.credentials == nil || c.credentials.principal() != nil
}

// authorize refuses a request that the client's grants do not cover for all targets. may
// is a method of Grants.
func (c *webSocket) authorize(may func(*auth.Grants, keyspace.Target) bool, targets ...keyspace.Target) error {
	if c.credentials == nil {
		return nil
	}
	p := c.credentials.principal()
	if p == nil {
		return errNoToken
	}
	granted := true
	for _, t := range targets {
		granted = granted && may(&p.Grants, t)
	}
	return c.core.access.authorize(p, granted)
}

// warnExpiry tells the client that its token expires soon.
func (c *webSocket) warnExpiry(left time.Duration) {
	seconds := uint64(max(0, left.Round(time.Second).Seconds()))
	c.session.Tell(rawjson.Builder(nil).String("action", "auth").Uint("expires_in", seconds).End())
}

// TrySend implements [session.Conn].
func (c *webSocket) TrySend(messages []session.Message) (done bool, err error) {
	if done, err = c.conn.TryWrite(c.frames(messages)); done && err == nil {
		c.core.metrics.delivered(messages)
	}
	return done, err
}

// Send implements [session.Conn].
func (c *webSocket) Send(messages []session.Message) error {
	err := c.conn.Write(c.frames(messages))
	if err == nil {
		c.core.metrics.delivered(messages)
	}
	return err
}

func (c *webSocket) frames(messages []session.Message) *socket.Frames {
	f := c.conn.TakeFrames()
	for i := range messages {
		f.AddText(messages[i].Text())
	}
	return f
}

// Close implements [session.Conn].
func (c *webSocket) Close(cause error) {
	if end := endingOf(cause); end.silent {
		c.conn.Cut()
	} else {
		c.conn.Close(end.code, end.reason)
	}
}

// hangUp implements link: it ends the session between two requests.
func (c *webSocket) hangUp(cause error) {
	c.leaving.Store(true)
	c.core.clients.endTaking(&c.client)
	c.turn.Lock()
	defer c.turn.Unlock()
	c.session.Close(cause)
}

// abort implements link.
func (c *webSocket) abort(cause error) {
	c.session.Abort(cause)
	c.conn.Cut()
}

// sent implements link.
func (c *webSocket) sent() uint64 { return c.conn.Sent() }
