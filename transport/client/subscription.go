package client

import (
	"math/rand/v2"
	"sync"
)

// A sink takes the changes and messages of a subscription. Its methods must not block, and
// run while the subscription is locked.
type sink interface {
	changed(key string, e *entry, existed bool) // e.deleted says that the key is gone
	marked(stale, live bool)                    // live: the server's changes up to now have come; stale: they may be old
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
	stale   bool     // the sinks were told so
	err     error    // not nil: the subscription has ended
	retries int
	keys    state
}

// attach adds a sink and tells it the known values.
func (s *subscription) attach(to sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sinks = append(s.sinks, to)
	for key, e := range s.keys.all() {
		to.changed(key, e, false)
	}
	if s.synced {
		to.marked(s.stale, s.live)
	}
}

// start subscribes on the present connection. The client is locked.
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
	s.checkLocked() // if it is asked for again on the same connection, it is not current meanwhile
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
	s.live, s.synced, s.retries = true, true, 0
	if s.topics {
		if again { // messages were lost while there was no connection
			for _, to := range s.sinks {
				to.received(s.name, &message{Missed: []byte("true")})
			}
		}
		return
	}
	s.keys.complete(m, s.tell)
	s.markLocked()
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

// lost says that the connection is gone.
func (s *subscription) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request = nil
	s.keys.interrupt()
	s.live = false
	s.checkLocked()
}

// check tells the sinks if the state has become stale, or current again.
func (s *subscription) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkLocked()
}

func (s *subscription) checkLocked() {
	if s.synced && s.err == nil && s.stale != s.isStaleLocked() {
		s.markLocked()
	}
}

func (s *subscription) isStaleLocked() bool { return !s.live || s.c.doubts.Load() != 0 }

func (s *subscription) markLocked() {
	s.stale = s.isStaleLocked()
	for _, to := range s.sinks {
		to.marked(s.stale, s.live)
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
