package transport

import (
	"context"
	"slices"
	"sync"
	"time"

	"rtdb/session"
	"rtdb/transport/auth"
)

const (
	// authTimeout is how long a WebSocket may be open before its client says
	// who it is, where that is needed.
	authTimeout = 10 * time.Second

	// expiryWarning is how long before the end of its token a client is told.
	expiryWarning = 30 * time.Second

	// lookAgain is how often the clock is looked at, at least: it can be set, and
	// stand still while the machine sleeps, which timers do not know.
	lookAgain = time.Minute
)

// credentials are who the client of a WebSocket is, and for how long. Where no
// keys are configured there are none.
type credentials struct {
	access *access
	warn   func(left time.Duration) // that the token ends soon
	end    func(cause error)        // the session; neither may wait

	mu     sync.Mutex
	who    *auth.Principal // nil: nobody yet
	warned bool            // of this one's end
	timer  *time.Timer     // of what is due next; nil after stop
	due    sync.WaitGroup  // what the timer has begun
}

// newCredentials sees to the end of the token from now on. who is nil for one who
// has yet to say who it is.
func newCredentials(a *access, who *auth.Principal, warn func(time.Duration), end func(error)) *credentials {
	c := &credentials{access: a, warn: warn, end: end, who: who}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(time.Hour, c.next)
	c.setTimerLocked()
	return c
}

// renew puts somebody else, or the same with another token, in the place of who
// it was.
func (c *credentials) renew(who *auth.Principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.who, c.warned = who, false
	if c.timer != nil {
		c.setTimerLocked()
	}
}

func (c *credentials) setTimerLocked() {
	switch {
	case c.who == nil:
		c.timer.Reset(authTimeout)
	case c.who.Expires.IsZero():
		c.timer.Stop()
	case c.warned:
		c.timer.Reset(min(lookAgain, time.Until(c.who.Expires)))
	default:
		c.timer.Reset(min(lookAgain, max(0, time.Until(c.who.Expires)-expiryWarning)))
	}
}

// next does what is due.
func (c *credentials) next() {
	c.mu.Lock()
	if c.timer == nil {
		c.mu.Unlock()
		return
	}
	c.due.Add(1)
	defer c.due.Done()
	who := c.who
	var left time.Duration
	warn, over := false, false
	if who != nil && !who.Expires.IsZero() { // not renewed at this moment
		left = time.Until(who.Expires)
		over = left <= 0
		warn = !over && !c.warned && left <= expiryWarning
		c.warned = c.warned || warn
		if !over {
			c.setTimerLocked()
		}
	}
	c.mu.Unlock()
	switch {
	case who == nil:
		c.end(errNotAuthenticated)
	case warn:
		c.warn(left)
	case over:
		c.end(errTokenExpired)
	}
}

// stop is for the end of the session. It waits for what has begun.
func (c *credentials) stop() {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.mu.Unlock()
	c.due.Wait()
}

func (c *credentials) principal() *auth.Principal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.who
}

// want refuses what the client may not do.
func (c *client) want(granted func(*auth.Grants) bool) error {
	if c.credentials == nil {
		return nil
	}
	who := c.credentials.principal()
	if who == nil {
		return errNoToken
	}
	return c.server.access.want(who, granted(&who.Grants))
}

// What is wanted of the grants for one name.
func mayRead(key string) func(*auth.Grants) bool {
	return func(g *auth.Grants) bool { return g.MayRead(key) }
}

func mayWrite(key string) func(*auth.Grants) bool {
	return func(g *auth.Grants) bool { return g.MayWrite(key) }
}

func mayPublish(topic string) func(*auth.Grants) bool {
	return func(g *auth.Grants) bool { return g.MayPublish(topic) }
}

// mayHear says that all names may be subscribed to.
func mayHear(names *session.Names) func(*auth.Grants) bool {
	return func(g *auth.Grants) bool {
		return !slices.ContainsFunc(names.Keys, func(key string) bool { return !g.MayRead(key) }) &&
			!slices.ContainsFunc(names.Topics, func(topic string) bool { return !g.MayListen(topic) }) &&
			!slices.ContainsFunc(names.Patterns, func(pattern string) bool { return !g.MayReadAll(pattern) })
	}
}

// permitWill says whether the client may still write what it has left.
func (c *client) permitWill(w session.Will) bool {
	if w.Key != "" {
		return c.want(mayWrite(w.Key)) == nil
	}
	return c.want(mayPublish(w.Topic)) == nil
}

// authenticate takes a token. Subscriptions stay, but for those that it does not
// cover.
func (c *client) authenticate(ctx context.Context, r *request) (object, error) {
	switch {
	case r.token.err != nil:
		return nil, r.token.err
	case !r.token.present:
		return nil, refuse(codeInvalidRequest, "auth needs a token")
	case c.credentials == nil:
		return newReply(r), nil // everybody may do everything
	}
	who, err := c.server.access.verify(r.token.text)
	if err != nil {
		return nil, err
	}
	c.credentials.renew(who)
	lost := lostNames(c.session.Names(), &who.Grants)
	if err := c.session.Unsubscribe(ctx, lost); err != nil {
		c.session.Close(err) // it could hear what it may not
		return nil, err
	}
	reply := newReply(r)
	if names := slices.Concat(lost.Keys, lost.Topics, lost.Patterns); reply != nil && len(names) > 0 {
		slices.Sort(names)
		reply = reply.texts("ended", names)
	}
	return reply, nil
}

// lostNames returns those of names that grants do not cover.
func lostNames(names session.Names, g *auth.Grants) session.Names {
	return session.Names{
		Keys:     slices.DeleteFunc(names.Keys, g.MayRead),
		Topics:   slices.DeleteFunc(names.Topics, g.MayListen),
		Patterns: slices.DeleteFunc(names.Patterns, g.MayReadAll),
	}
}
