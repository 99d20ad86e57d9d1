package client

import (
	"slices"
	"time"
)

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

// gap takes the notice that messages of topics that match a pattern were missed.
func (c *Client) gap(m *message) {
	c.mu.Lock()
	s := c.patterns[selector{topics: true, name: m.Pattern}]
	c.mu.Unlock()
	if s != nil {
		s.take(m.Pattern, m)
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

// A doubt is a reason why the client's data may be old, although the client is connected.
type doubt uint32

const (
	latePong     doubt = 1 << iota // the server may be gone
	behindServer                   // the server says that it is behind others
)

// doubt notes a reason, or that it is over, and tells all subscriptions.
func (c *Client) doubt(why doubt, on bool) {
	if on {
		c.doubts.Or(uint32(why))
	} else {
		c.doubts.And(^uint32(why))
	}
	for _, s := range c.every() {
		s.check()
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
