package keyspace

import (
	"time"

	"rtdb/actor"
)

// A topic is the actor that passes on what is published to one topic. It is
// there only while somebody subscribes to it.
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
		default:
			batch[i] = nil
			r.answer(result{}) // a publisher need not wait for others to be told
			if t.subscribers.any() {
				t.subscribers.deliver(&Update{Target: Topic(t.name), Value: value, At: time.Now(), progress: &t.keyspace.progress})
			}
		}
	}
	if !t.subscribers.any() && t.Retire() {
		t.keyspace.topics.remove(t.name, t)
	}
}

// panicked puts an heir with the topic's subscribers in its place.
func (t *topic) panicked(p actor.Panic[*request]) {
	t.subscribers.settle(p.Lost)
	if t.subscribers.any() {
		heir := t.keyspace.newTopic(t.name)
		heir.subscribers = t.subscribers
		t.keyspace.topics.replace(t.name, t, heir)
	} else {
		t.keyspace.topics.remove(t.name, t)
	}
	t.keyspace.onPanic(Panic{Target: Topic(t.name), Value: p.Value, Stack: p.Stack})
}
