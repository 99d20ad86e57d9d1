package transport

import (
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"rtdb/transport/auth"
)

const (
	// authTimeout is how long a WebSocket may be open without a token, if one is
	// needed.
	authTimeout = 10 * time.Second

	// expiryWarning is how long before its token expires a client is warned. The leeway
	// does not put the warning off.
	expiryWarning = 30 * time.Second

	// maxSubjectBytes is how much of a token's subject the log and the operator see.
	maxSubjectBytes = 128

	// clockInterval is how often the clock is looked at, at least. Timers do not
	// notice when the clock is set, or when the machine was asleep.
	clockInterval = time.Minute
)

// credentials are the principal of a session, and end the session when its token
// expires.
type credentials struct {
	warn func(left time.Duration) // called before the token expires
	end  func(cause error)        // ends the session; neither may block

	mu      sync.Mutex
	current *auth.Principal // nil: the client has not authenticated yet
	warned  bool            // about the current token
	timer   *time.Timer     // calls next; nil after stop
	running sync.WaitGroup  // calls of next
}

// newCredentials watches the token of p from now on. p is nil if the client has not
// authenticated yet.
func newCredentials(p *auth.Principal, warn func(time.Duration), end func(error)) *credentials {
	c := &credentials{warn: warn, end: end, current: p}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(time.Hour, c.next)
	c.setTimerLocked()
	return c
}

func (c *credentials) principal() *auth.Principal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// renew replaces the principal, or its token.
func (c *credentials) renew(p *auth.Principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.warned = p, false
	if c.timer != nil {
		c.setTimerLocked()
	}
}

func (c *credentials) setTimerLocked() {
	switch {
	case c.current == nil:
		c.timer.Reset(authTimeout)
	case c.current.Expires.IsZero():
		c.timer.Stop()
	case c.warned:
		c.timer.Reset(min(clockInterval, time.Until(c.current.Ends())))
	default:
		c.timer.Reset(min(clockInterval, max(0, time.Until(c.current.Expires)-expiryWarning)))
	}
}

// next warns the client or ends the session, if it is time.
func (c *credentials) next() {
	c.mu.Lock()
	if c.timer == nil {
		c.mu.Unlock()
		return
	}
	c.running.Add(1)
	defer c.running.Done()
	p := c.current
	var left time.Duration
	warn, expired := false, false
	if p != nil && !p.Expires.IsZero() { // else the token was replaced at this moment
		left = time.Until(p.Expires) // less than 0 in the leeway
		expired = p.Expired()
		warn = !expired && !c.warned && left <= expiryWarning
		c.warned = c.warned || warn
		if !expired {
			c.setTimerLocked()
		}
	}
	c.mu.Unlock()
	switch {
	case p == nil:
		c.end(errNotAuthenticated)
	case warn:
		c.warn(left)
	case expired:
		c.end(errTokenExpired)
	}
}

// principal implements link.
func (c *webSocket) principal() *auth.Principal {
	if c.credentials == nil {
		return nil
	}
	return c.credentials.principal()
}

// principal implements link.
func (s *eventStream) principal() *auth.Principal { return s.who }

// subjectOf returns the subject of a token for the log and the operator, no longer than
// maxSubjectBytes and without characters that could break a line. It returns "" if there
// is no token, or no subject in it.
func subjectOf(p *auth.Principal) string {
	if p == nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(p.Subject[:min(len(p.Subject), maxSubjectBytes)], ""))
}

// stop ends the watch. It waits for a call of warn or end that has begun.
func (c *credentials) stop() {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.mu.Unlock()
	c.running.Wait()
}
