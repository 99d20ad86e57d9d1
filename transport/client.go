package transport

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"rtdb/session"
	"rtdb/transport/auth"
)

// A clientKind is the way in which a client is connected.
type clientKind uint8

const (
	webSocketClient clientKind = iota
	eventClient
	clientKinds // their number
)

// route returns the path of the kind's endpoint, as the log names it.
func (k clientKind) route() string {
	if k == eventClient {
		return eventsRoute
	}
	return socketRoute
}

// A clientID names a client in the log and for the operator.
type clientID uint64

func (id clientID) String() string {
	var digits [8]byte
	binary.BigEndian.PutUint64(digits[:], uint64(id))
	return hex.EncodeToString(digits[:])
}

// A link is the connection of a client, as the registry uses it.
type link interface {
	hangUp(cause error) // ends the session after the waiting messages; may wait for a request
	abort(cause error)  // cuts the connection; does not block
	sent() uint64       // bytes

	// principal returns the client as its token identifies it at this moment. nil: it has
	// not authenticated, or every client may do everything.
	principal() *auth.Principal
}

// A clientName is the name by which a client calls itself in a hello, and the holder of
// its token. Clients of another holder cannot take the name.
type clientName struct {
	client string
	holder string // the subject or, without one, the grants; in a form that other nodes read
}

// nameOf returns the name of a client that a principal has identified. p is nil if every
// client may do everything.
func nameOf(client string, p, anonymous *auth.Principal) clientName {
	switch {
	case p == nil:
		return clientName{client, ""}
	case p == anonymous:
		return clientName{client, "anonymous"}
	case p.Subject != "":
		return clientName{client, "subject " + p.Subject}
	}
	return clientName{client, "grants " + p.Grants.String()}
}

// A claim is a client that has a name, and the time when it said hello.
type claim struct {
	client *client
	since  time.Time
}

// A client has the fields that WebSockets and event streams share.
type client struct {
	link    link
	session *session.Session
	id      clientID
	opened  time.Time
	remote  string
	name    atomic.Pointer[clientName] // nil before a hello; the registry changes it
	kind    clientKind

	informed bool // it is told whether the state is stale; the registry changes it
}

// event adds the fields that name the client to a log event. A logger with these fields
// would take half a kilobyte for each client.
func (c *client) event(e *zerolog.Event) *zerolog.Event {
	if e == nil {
		return nil
	}
	e = e.Stringer("session", c.id).Str("remote", c.remote).Str("route", c.kind.route())
	if name := c.name.Load(); name != nil {
		e = e.Str("client", name.client)
	}
	if subject := subjectOf(c.link.principal()); subject != "" {
		e = e.Str("subject", subject)
	}
	return e
}

// replaceTimeout is how long a client that is replaced may still take its waiting
// messages and the close frame. Its link may be dead, and the newer client waits.
const replaceTimeout = 2 * time.Second

// takeoverTimeout is how long a hello waits for the other nodes.
const takeoverTimeout = 5 * time.Second

// replace gives a client its name, and returns the time. If an older client has the name,
// replace ends it, and waits until it has left: then its wills are written. If ctx ends
// first, replace returns the cause.
func (g *registry) replace(ctx context.Context, c *client, name clientName) (since time.Time, err error) {
	older, left, since, err := g.rename(c, name)
	if older == nil || err != nil {
		return since, err
	}
	return since, end(ctx, older, left)
}

// end ends a client for a newer one, and waits until it has left, or ctx ends.
func end(ctx context.Context, older *client, left <-chan struct{}) error {
	older.session.Close(errReplaced)
	cut := time.AfterFunc(replaceTimeout, func() { older.link.abort(errReplaced) })
	defer cut.Stop()
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// rename gives a client its name. It returns the client that has had the name, nil if
// there is none, a channel that is closed when that client has left, and the time. It
// refuses a client that is ending.
func (g *registry) rename(c *client, name clientName) (older *client, left <-chan struct{}, since time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.awaited[c] != nil || c.session.Ending() {
		// A newer client waits for c. If c waited for it in turn, neither would end.
		return nil, nil, since, errEnding
	}
	older, since = g.names[name].client, time.Now()
	if older != c {
		g.unnameLocked(c)
		c.name.Store(&name)
	}
	g.names[name] = claim{c, since}
	if older == nil || older == c {
		return nil, nil, since, nil
	}
	return older, g.awaitLocked(older), since, nil
}

// unname takes the name from a client.
func (g *registry) unname(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unnameLocked(c)
}

// unnameLocked takes the name from a client, unless a newer client has it. The client's
// log still shows it.
func (g *registry) unnameLocked(c *client) {
	if name := c.name.Load(); name != nil && g.names[*name].client == c {
		delete(g.names, *name)
	}
}

// endNamed ends the client of a name for one that has said hello on another node at since,
// and waits until it has left, or ctx ends. If the client here is the newer one, it stays.
// Of two clients that say hello at the same time both nodes must find the same one newer, so
// the times decide, by the clocks of both nodes. A client whose hello is longer ago than a
// takeover lasts is older, whatever the clocks say.
func (g *registry) endNamed(ctx context.Context, name clientName, since time.Time) (newer bool, err error) {
	g.mu.Lock()
	held, ok := g.names[name]
	if newer = ok && !held.since.Before(since) && time.Since(held.since) < takeoverTimeout; !ok || newer {
		g.mu.Unlock()
		return newer, nil
	}
	left := g.awaitLocked(held.client)
	g.mu.Unlock()
	return false, end(ctx, held.client, left)
}

// takeOver ends the older sessions of a client on other nodes. A client that must end
// meanwhile does not wait for them. So two nodes that take over from each other do not wait
// for each other: one of the two clients is newer, and the other one ends.
func (c *core) takeOver(ctx context.Context, x *client, name clientName, since time.Time) error {
	if c.options.Takeover == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, takeoverTimeout)
	defer cancel()
	ctx, done := c.clients.beginTaking(ctx, x)
	defer done()
	err := c.options.Takeover(ctx, name.client, name.holder, since)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNewerSession):
		x.session.Close(errReplaced)
		return errEnding
	case errors.Is(context.Cause(ctx), errEnding):
		return errEnding
	}
	f := refuse(codeUnavailable, "the client's older session on another node may not have ended: %v; say hello again", err)
	f.retry = time.Second
	return f
}

// beginTaking returns a context for a takeover. It ends if the client must.
func (g *registry) beginTaking(ctx context.Context, c *client) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.awaited[c] != nil {
		cancel(errEnding)
	}
	g.taking[c] = cancel
	return ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.taking, c)
		cancel(nil)
	}
}

// endTaking ends the takeover of a client that must end.
func (g *registry) endTaking(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if end := g.taking[c]; end != nil {
		end(errEnding)
	}
}
