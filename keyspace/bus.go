package keyspace

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Bus carries the messages of topics between keyspaces. A [SharedStore] may be one. Its
// methods return at once and do not wait for the Receiver, because actors call them and hold
// locks. After Close of the store, Publish returns an error, and the others do nothing.
type Bus interface {
	// Publish passes a message to the other keyspaces that listen to its topic, at most
	// once. Messages of one topic that one goroutine publishes arrive in order. It returns
	// an error if the message was not sent. Many goroutines may call it at the same time.
	// The bytes of value never change.
	Publish(topic string, value []byte) error

	// Listen says that a topic, or a pattern of topics, has a subscriber now. The bus asks
	// the other keyspaces for the target's messages before Listen returns, and passes them
	// to r, which is the same in each call. For one target, the calls of Listen and Unlisten
	// alternate, and do not overlap.
	Listen(t Target, r Receiver)

	// Unlisten says that the target has no subscriber any more. Messages may still be
	// passed to the Receiver for a while.
	Unlisten(t Target)
}

// A Receiver receives messages from a Bus. Several goroutines may call it at the same time,
// but not for one topic. It may wait for actors, and does not wait for the bus.
type Receiver interface {
	// Message receives a message that another keyspace has published. If several targets
	// match the topic, it comes once. The value is not nil, and its bytes never change.
	Message(topic string, value []byte)

	// Missed says that messages may be missing, of any topic and in any number. They were
	// published before the messages that are passed later.
	Missed()
}

// A receiver is the [Receiver] of a keyspace.
type receiver struct{ keyspace *Keyspace }

// Message delivers a message like a publish on this keyspace.
func (r receiver) Message(topic string, value []byte) {
	if CheckName(topic) != nil || value == nil {
		return
	}
	t := task{op: opPublish, change: Change{Value: value}}
	if err := r.send(topic, false, t); errors.Is(err, errAbsent) && r.keyspace.ofTopics.match(topic) {
		_ = r.send(topic, true, t)
	}
}

// Missed tells the subscribers of each topic and of each pattern of topics, through the actor
// of that name. So the news keeps its order among the messages, and a panic harms no other
// topic.
func (r receiver) Missed() {
	for t := range r.keyspace.topics.actors() {
		_ = r.send(t.name, false, task{op: opMissed})
	}
	for _, pattern := range r.keyspace.ofTopics.all() {
		_ = r.send(pattern, true, task{op: opMissedByPattern})
	}
}

// send sends a task whose result nobody waits for. It may wait for room in the mailbox. The
// topic's actor has a goroutine of its own, because the bus may have one for all topics. Its
// errors mean that there is no subscriber, or that the keyspace is shut down.
func (r receiver) send(name string, spawn bool, t task) error {
	q := &request{task: t}
	return r.keyspace.topics.retry(name, spawn, func(x *topic) error { return x.Send(r.keyspace.lifetime, q) })
}

// publishToOthers passes a message to the other keyspaces.
func (ks *Keyspace) publishToOthers(topic string, value []byte) error {
	if ks.topics.closed.Load() {
		return ErrClosed
	}
	if err := ks.bus.Publish(topic, value); err != nil {
		return fmt.Errorf("%w: publish to %q: %w", ErrUnavailable, topic, err)
	}
	return nil
}

// listenToPattern tells the bus that a pattern has got its first subscriber, or has lost its
// last one.
func (ks *Keyspace) listenToPattern(pattern string, wanted bool) {
	t := TopicPattern(strings.Clone(pattern)) // it may be part of a larger string
	if wanted {
		ks.bus.Listen(t, receiver{ks})
	} else {
		ks.bus.Unlisten(t)
	}
}

// listen tells the bus whether the topic has subscribers, if that has changed.
func (t *topic) listen() {
	bus, wanted := t.keyspace.bus, !t.subscribers.empty()
	switch {
	case bus == nil || wanted == t.listening:
		return
	case wanted:
		bus.Listen(Topic(t.name), receiver{t.keyspace})
	default:
		bus.Unlisten(Topic(t.name))
	}
	t.listening = wanted
}

// deliverMissed tells the subscribers of the topic, or of the pattern that has the same name,
// that messages may be missing. It returns their number.
func (t *topic) deliverMissed(o op) int {
	target, set := Topic(t.name), &t.subscribers
	if o == opMissedByPattern {
		p := &t.keyspace.ofTopics
		p.mu.RLock()
		defer p.mu.RUnlock()
		target, set = TopicPattern(t.name), p.ofLocked(t.name)
	}
	if set == nil || set.empty() {
		return 0
	}
	n := set.len()
	u := &Update{Target: target, Missed: true, At: time.Now(), progress: &t.keyspace.progress}
	if n > crowdSize {
		u.Crowd = t.crowd.of(n)
	}
	set.deliver(nil, u)
	return n
}
