package client

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A selector is what a subscription is to: a key or a topic, or a pattern of these.
type selector struct {
	topics bool
	name   string
}

// isExact reports whether the selector is one name. The server refuses a malformed pattern.
func (s selector) isExact() bool { return !strings.ContainsAny(s.name, "+#") }

// member returns the name of the member that requests have the selector in.
func (s selector) member() string {
	switch {
	case s.topics && s.isExact():
		return "topic"
	case s.topics:
		return "topicPattern"
	case s.isExact():
		return "key"
	}
	return "pattern"
}

// matches reports whether a name matches the selector.
func (s selector) matches(name string) bool {
	rest := s.name
	for {
		level, more, hasMore := strings.Cut(rest, "/")
		if level == "#" {
			return true
		}
		nameLevel, nameRest, nameHasMore := strings.Cut(name, "/")
		if level != "+" && level != nameLevel {
			return false
		}
		if !nameHasMore {
			return !hasMore || more == "#"
		}
		if !hasMore {
			return false
		}
		rest, name = more, nameRest
	}
}

// A sink takes what comes for a subscription. Its methods must not block, and run while
// the subscription is locked.
type sink interface {
	changed(key string, e *entry, existed bool) // e.deleted says that the key is gone
	marked(stale bool)                          // all changes up to now have come, or the state may be old
	received(topic string, m *message)          // of a topic
	ended(err error)                            // nothing more comes
}

// A subscription is shared by all sinks of a selector. On the wire there is one.
type subscription struct {
	c *Client
	selector

	mu      sync.Mutex
	sinks   []sink
	request *request // on this connection; nil: not subscribed
	live    bool     // the reply has come
	synced  bool     // a reply has come on some connection
	doubted bool     // the server may be gone, or says that it is behind
	err     error    // not nil: the subscription has ended
	retries int
	keys    state
}

// subscribe adds a sink to the subscription of a selector.
func (c *Client) subscribe(to selector, s sink) (*subscription, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == Closed {
		return nil, failureOf(c.reason)
	}
	all := c.subscriptionsLocked(to)
	sub := all[to]
	if sub == nil {
		sub = &subscription{c: c, selector: to, keys: newState()}
		all[to] = sub
		if c.link != nil {
			sub.start()
		}
	}
	sub.attach(s)
	return sub, nil
}

// subscriptionsLocked returns the map that a selector belongs to.
func (c *Client) subscriptionsLocked(to selector) map[selector]*subscription {
	if to.isExact() {
		return c.names
	}
	return c.patterns
}

// unsubscribe removes a sink. The subscription ends with its last one.
func (c *Client) unsubscribe(sub *subscription, s sink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.sinks = slices.DeleteFunc(sub.sinks, func(other sink) bool { return other == s })
	if len(sub.sinks) > 0 || sub.err != nil {
		return
	}
	sub.err = ErrClosed
	all := c.subscriptionsLocked(sub.selector)
	if all[sub.selector] == sub {
		delete(all, sub.selector)
	}
	if sub.request != nil {
		// Without a connection there is nothing to end.
		_ = c.out.add(&request{
			fields: newFields("unsubscribe").text(sub.member(), sub.name), kind: control, done: func(*message, error) {},
		})
	}
}

// attach adds a sink and tells it what is known.
func (s *subscription) attach(to sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sinks = append(s.sinks, to)
	for key, e := range s.keys.all() {
		to.changed(key, e, false)
	}
	if s.synced {
		to.marked(s.isStaleLocked())
	}
}

func (s *subscription) isStaleLocked() bool { return !s.live || s.doubted }

// start subscribes on the connection that has just been made, or that there is. The client
// is locked.
func (s *subscription) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startLocked()
}

func (s *subscription) startLocked() {
	if s.err != nil {
		return
	}
	f := newFields("subscribe").text(s.member(), s.name)
	if !s.topics {
		f = s.keys.resume(f, s.synced)
	}
	s.live = false
	r := &request{fields: f, kind: control}
	r.done = func(m *message, err error) {
		if err == nil {
			s.replied(r, m)
		}
	}
	s.request = r
	if s.c.out.add(r) != nil { // the connection is lost, and the next one starts again
		s.request = nil
	}
}

// replied takes the reply to a subscribe.
func (s *subscription) replied(r *request, m *message) {
	if m.Error != nil {
		s.refused(r, m.Error)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.request != r || s.err != nil {
		return
	}
	again := s.synced
	s.live, s.synced, s.doubted, s.retries = true, true, false, 0
	if s.topics {
		if again { // messages were lost while there was no connection
			for _, to := range s.sinks {
				to.received(s.name, &message{Missed: []byte("true")})
			}
		}
		return
	}
	s.keys.complete(m, s.tell)
	for _, to := range s.sinks {
		to.marked(false)
	}
}

func (s *subscription) tell(key string, e *entry, existed bool) {
	for _, to := range s.sinks {
		to.changed(key, e, existed)
	}
}

// refused ends the subscription, or tries again later.
func (s *subscription) refused(r *request, refusal *Error) {
	s.mu.Lock()
	if s.request != r || s.err != nil {
		s.mu.Unlock()
		return
	}
	passing := refusal.isPassing() && (s.synced || refusal.Code != "limit_reached")
	waits := backoff{min: s.c.options.backoffMin, max: s.c.options.backoffMax, random: rand.Int64N, ceiling: s.c.options.backoffMin << min(s.retries, 10)}
	wait := waits.next()
	s.retries++
	s.mu.Unlock()
	s.c.options.logger.Warn("rtdb: the server refused a subscription", s.member(), s.name, "error", refusal, "retry", passing)
	if passing {
		s.c.restartLater(s, r, wait)
		return
	}
	s.c.mu.Lock()
	all := s.c.subscriptionsLocked(s.selector)
	if all[s.selector] == s {
		delete(all, s.selector)
	}
	s.c.mu.Unlock()
	s.end(refusal)
}

// restartLater subscribes again after a while, if the connection lasts.
func (c *Client) restartLater(s *subscription, r *request, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.link
	if l == nil {
		return
	}
	l.tasks.Go(func() {
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.link == l && s.request == r {
			s.startLocked()
		}
	})
}

// subscribeAgain asks again for the subscriptions that a new token does not cover. The
// server's refusal ends them.
func (c *Client) subscribeAgain(l *link, names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return
	}
	for _, name := range names {
		for _, topics := range []bool{false, true} {
			to := selector{topics: topics, name: name}
			if s := c.subscriptionsLocked(to)[to]; s != nil {
				s.start()
			}
		}
	}
}

// lost says that the connection is gone.
func (s *subscription) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request = nil
	s.keys.interrupt()
	if s.live {
		s.live = false
		s.markLocked()
	}
}

// doubt says that what the subscription knows may be old, or is not.
func (s *subscription) doubt(stale bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubted != stale {
		s.doubted = stale
		s.markLocked()
	}
}

func (s *subscription) markLocked() {
	if !s.synced {
		return
	}
	for _, to := range s.sinks {
		to.marked(s.isStaleLocked())
	}
}

// end ends the subscription for all of its sinks.
func (s *subscription) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err, s.live = cause, false
	for _, to := range s.sinks {
		to.ended(cause)
	}
}

// take takes an update, or a message of a topic.
func (s *subscription) take(name string, m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.request == nil || !s.live && !s.c.out.begun(s.request) {
		return // it belongs to an earlier subscription
	}
	if !s.topics {
		s.keys.update(name, m, s.live, s.tell)
		return
	}
	for _, to := range s.sinks {
		to.received(name, m)
	}
}

// matching returns the subscriptions that a name matches.
func (c *Client) matching(topics bool, name string) (all []*subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.names[selector{topics, name}]; s != nil {
		all = append(all, s)
	}
	for to, s := range c.patterns {
		if to.topics == topics && to.matches(name) {
			all = append(all, s)
		}
	}
	return all
}

func (c *Client) update(m *message) {
	for _, s := range c.matching(false, m.Key) {
		s.take(m.Key, m)
	}
}

func (c *Client) message(m *message) {
	for _, s := range c.matching(true, m.Topic) {
		s.take(m.Topic, m)
	}
}

// every returns all subscriptions.
func (c *Client) every() []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*subscription, 0, len(c.names)+len(c.patterns))
	for _, s := range c.names {
		all = append(all, s)
	}
	for _, s := range c.patterns {
		all = append(all, s)
	}
	return all
}

// doubt tells all subscriptions whether what they know may be old.
func (c *Client) doubt(stale bool) {
	for _, s := range c.every() {
		s.doubt(stale)
	}
}

// advance tells all subscriptions up to which revision every update has come.
func (c *Client) advance(epoch string, revision uint64) {
	for _, s := range c.every() {
		s.mu.Lock()
		if s.live && !s.topics {
			s.keys.advance(epoch, revision)
		}
		s.mu.Unlock()
	}
}

// isCatchingUp reports whether the server still sends a snapshot.
func (c *Client) isCatchingUp() bool {
	return slices.ContainsFunc(c.every(), func(s *subscription) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.request != nil && !s.live
	})
}
