package keyspace

import (
	"iter"
	"strings"
	"sync"
)

// A topicTable holds the topics that have an actor. To find one takes no lock.
type topicTable struct {
	keyspace *Keyspace
	byName   sync.Map // string → *topic
}

func (t *topicTable) get(name string, spawn bool) (x *topic, ok bool) {
	v, ok := t.byName.Load(name)
	if !ok {
		if !spawn {
			return nil, false
		}
		name = strings.Clone(name) // the name may be part of a larger string
		v, _ = t.byName.LoadOrStore(name, t.keyspace.newTopic(name))
	}
	return v.(*topic), true
}

// remove removes a topic, unless another one has its name by now.
func (t *topicTable) remove(x *topic) { t.byName.CompareAndDelete(x.name, x) }

// replace puts the successor in the place of a topic that panicked.
func (t *topicTable) replace(x, successor *topic) { t.byName.CompareAndSwap(x.name, x, successor) }

func (t *topicTable) actors() iter.Seq[*topic] {
	return func(yield func(*topic) bool) {
		t.byName.Range(func(_, v any) bool { return yield(v.(*topic)) })
	}
}
