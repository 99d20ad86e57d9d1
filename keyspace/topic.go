package keyspace

import (
	"time"

	"rtdb/actor"
)

// A topic is the actor that delivers the messages of one topic. It exists only
// while the topic has a subscriber.
type topic struct {
	actor.Actor[*request]
	keyspace    *Keyspace
	name        string
	subscribers subscribers
}

func (ks *Keyspace) newTopic(name string) *topic {
	t := &topic{keyspace: ks, name: name}
	t.Init(t.handle, actor.Options[*request]{OnPanic: t.panicked})
	return t
}

// handle handles a batch of requests in order.
func (t *topic) handle(batch []*request) {
	for i, r := range batch {
		value := r.change.Value
		switch r.op {
		case opSubscribe:
			t.subscribers.add(r.subscriber)
			if r.start.Mark != nil {
				r.start.Mark(Mark{Revision: t.keyspace.progress.revision()})
			}
			batch[i] = nil
			r.answer(result{})
		case opUnsubscribe:
			t.subscribers.remove(r.subscriber)
			batch[i] = nil
			r.answer(result{})
		case opPublish:
			batch[i] = nil
			r.answer(result{}) // the publisher does not wait for the deliveries
			if !t.subscribers.empty() {
				t.subscribers.deliver(&Update{Target: Topic(t.name), Value: value, At: time.Now(), progress: &t.keyspace.progress})
			}
		}
	}
	if t.subscribers.empty() && t.Retire() {
		t.keyspace.topics.remove(t.name, t)
	}
}

// panicked replaces the topic with a successor that has its subscribers.
func (t *topic) panicked(p actor.Panic[*request]) {
	t.subscribers.answerLost(p.Lost)
	if !t.subscribers.empty() {
		successor := t.keyspace.newTopic(t.name)
		successor.subscribers = t.subscribers
		t.keyspace.topics.replace(t.name, t, successor)
	} else {
		t.keyspace.topics.remove(t.name, t)
	}
	t.keyspace.onPanic(Panic{Target: Topic(t.name), Value: p.Value, Stack: p.Stack})
}
