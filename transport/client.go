package transport

import (
	"fmt"
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

func (id clientID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// A link is the connection of a client, as the registry uses it.
type link interface {
	hangUp(cause error) // ends the session after the waiting messages; may wait for a request
	abort(cause error)  // cuts the connection; does not block
	sent() uint64       // bytes

	// principal returns the client as its token identifies it at this moment. nil: it has
	// not authenticated, or every client may do everything.
	principal() *auth.Principal
}

// A clientName is the name by which a client calls itself in a hello, and the subject of
// its token. Clients with another subject cannot take the name. Without a subject the
// grants count in its place.
type clientName struct {
	client, subject string
	grants          string // in JSON; "" if there is a subject
	anonymous       bool   // the client has no token
}

// nameOf returns the name of a client that a principal has identified. p is nil if every
// client may do everything.
func nameOf(client string, p, anonymous *auth.Principal) clientName {
	name := clientName{client: client}
	switch {
	case p == nil:
	case p == anonymous:
		name.anonymous = true
	case p.Subject != "":
		name.subject = p.Subject
	default:
		name.grants = p.Grants.String()
	}
	return name
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
