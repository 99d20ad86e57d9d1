package keyspace

import (
	"sync/atomic"

	"rtdb/actor"
)

// A key is the actor that owns one key: it serializes the writes, and tells
// the subscribers. Readers do not need it: they load what it published.
type key struct {
	actor.Actor[*request]
	keyspace    *Keyspace
	name        string
	state       atomic.Pointer[state] // written by the actor alone; nil: never written
	subscribers subscribers
	view        *view   // of the patterns; nil: as long as there were none
	expiry      *expiry // nil: never
}

// A state is what a key holds since its last write.
type state struct {
	value   []byte // nil: deleted
	version uint64
}

func (ks *Keyspace) newKey(name string) *key {
	k := &key{keyspace: ks, name: name}
	k.Init(k.handle, actor.Options[*request]{OnPanic: k.panicked})
	return k
}

// load returns what the key holds, its value nil where it holds nothing.
func (k *key) load() state {
	if s := k.state.Load(); s != nil {
		return *s
	}
	return state{}
}

// held tells whether anything keeps the key in the directory.
func (k *key) held() bool { return k.load().value != nil || k.subscribers.any() }

// handle takes the batch in order. A run of writes is one commit; what stands
// between runs sees the writes before it, and none of those behind it. A write
// with a condition begins a run, for a condition wants to know the versions of
// the writes before it.
func (k *key) handle(batch []*request) {
	for len(batch) > 0 {
		n := 1
		if !batch[0].op.writes() {
			k.other(batch)
		} else {
			for n < len(batch) && batch[n].op.writes() && batch[n].change.If == nil {
				n++
			}
			k.write(batch[:n])
		}
		batch = batch[n:]
	}
	if !k.held() && k.Retire() {
		k.keyspace.keys.remove(k.name, k)
	}
}

// other handles the first request of batch, which writes nothing.
func (k *key) other(batch []*request) {
	r := batch[0]
	switch r.op {
	case opRead:
		s := k.load()
		r.then(Entry{Key: k.name, Value: s.value, Version: s.version})
	case opSubscribe:
		k.subscribers.add(r.subscriber)
		k.begin(r.start)
	case opUnsubscribe:
		k.subscribers.remove(r.subscriber)
	case opCatchUp:
		k.catchUp(r.start, r.clock, r.grave)
	}
	batch[0] = nil
	r.answer(result{})
}

// panicked puts an heir in the place of the key: it starts at what the key had
// published, with its subscribers. What the key was handling is answered with
// ErrInternal; a write among it may have been committed, but was not published.
func (k *key) panicked(p actor.Panic[*request]) {
	k.subscribers.settle(p.Lost)
	ks := k.keyspace
	if k.held() {
		heir := ks.newKey(k.name)
		heir.state.Store(k.state.Load())
		heir.subscribers = k.subscribers
		heir.view, heir.expiry = k.view, k.expiry // before anybody can write to it
		ks.index.replace(k, heir)
		ks.keys.replace(k.name, k, heir)
		if k.expiry != nil {
			ks.expiries.inherit(k.expiry, heir)
		}
	} else {
		ks.keys.remove(k.name, k)
	}
	ks.onPanic(Panic{Target: Key(k.name), Value: p.Value, Stack: p.Stack})
}
