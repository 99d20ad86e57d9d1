package keyspace

import (
	"sync/atomic"
	"time"

	"rtdb/actor"
)

// A topic is the actor that delivers the messages of one topic. It exists only
// while the topic has a subscriber. If only patterns match the topic, it exists while it
// has mail.
type topic struct {
	actor.Actor[*request]
	keyspace    *Keyspace
	name        string
	subscribers subscribers
	subscribed  atomic.Int64  // the number of subscribers, for other goroutines
	match       *patternMatch // nil: there was no pattern yet
	listening   bool          // the bus was told that there are subscribers
	crowd       heldCrowd
	crowded     atomic.Bool // the last message went to a crowd
}

func (ks *Keyspace) newTopic(name string) *topic {
	t := &topic{keyspace: ks, name: name}
	t.crowded.Store(ks.ofTopics.crowds.Load() > 0) // until a message shows it
	t.InitHandler(t, actor.Options[*request]{})
	return t
}

// quick reports that the subscribers are no crowd (see key.quick).
func (t *topic) quick(*request) bool { return !t.crowded.Load() }

// Handle handles a batch of requests in order.
func (t *topic) Handle(batch []*request) {
	unpaused := 0 // the deliveries since the actor last yielded
	for i, r := range batch {
		value := r.change.Value
		switch r.op {
		case opSubscribe:
			t.subscribers.add(r.subscriber)
			t.subscribed.Store(int64(t.subscribers.len()))
			t.listen()
			r.start.mark(t.keyspace.mark(false))
			batch[i] = nil
			r.answer(result{})
		case opUnsubscribe:
			t.subscribers.remove(r.subscriber)
			t.subscribed.Store(int64(t.subscribers.len()))
			t.listen()
			batch[i] = nil
			r.answer(result{})
		case opPublish:
			batch[i] = nil
			r.answer(result{}) // the publisher does not wait for the deliveries
			unpaused += t.deliver(value)
		case opMissed, opMissedByPattern:
			batch[i] = nil
			unpaused += t.deliverMissed(r.op)
		}
		if unpaused >= yieldAfter {
			unpaused = 0
			t.crowd.wake()
			actor.Yield()
		}
	}
	t.crowd.wakeIfDue(t.Pending)
	if t.subscribers.empty() && t.Retire() {
		t.keyspace.topicTable.remove(t)
	}
}

// deliver delivers a message to the subscribers of the topic, and of the patterns that
// match the topic. It returns their number.
func (t *topic) deliver(value []byte) (n int) {
	p := &t.keyspace.ofTopics
	if !t.match.upToDate(p) || len(t.match.matchingSets()) > 0 {
		p.mu.RLock()
		defer p.mu.RUnlock()
		if !t.match.upToDate(p) {
			t.match = p.lookUpLocked(t.name)
		}
	}
	sets := t.match.matchingSets()
	n = t.subscribers.count(sets)
	t.crowded.Store(n > crowdSize)
	if n > 0 {
		u := &Update{Target: Topic(t.name), Value: value, At: time.Now(), progress: &t.keyspace.progress}
		if n > crowdSize {
			u.Crowd = t.crowd.of(n)
		}
		t.subscribers.deliver(sets, u)
	}
	return n
}

// HandlePanic replaces the topic with a successor that has its subscribers.
func (t *topic) HandlePanic(p actor.Panic[*request]) {
	t.crowd.wake()
	t.subscribers.answerLost(p.Lost)
	t.listen() // the panic may have come before or after the subscribers changed
	if !t.subscribers.empty() {
		successor := t.keyspace.newTopic(t.name)
		successor.subscribers, successor.match, successor.listening = t.subscribers, t.match, t.listening
		successor.subscribed.Store(int64(t.subscribers.len()))
		t.keyspace.topicTable.replace(t, successor)
	} else {
		t.keyspace.topicTable.remove(t)
	}
	t.keyspace.onPanic(Panic{Target: Topic(t.name), Value: p.Value, Stack: p.Stack})
}
