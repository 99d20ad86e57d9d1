package keyspace

import (
	"fmt"
	"slices"
	"sync"
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
// between runs sees the writes before it, and none of those behind it.
func (k *key) handle(batch []*request) {
	for len(batch) > 0 {
		n := slices.IndexFunc(batch, func(r *request) bool { return r.op > opDelete })
		switch {
		case n < 0:
			n = len(batch)
			k.write(batch)
		case n > 0:
			k.write(batch[:n])
		default:
			n = 1
			k.other(batch)
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
	case opSubscribe:
		k.subscribers.add(r.subscriber)
	case opUnsubscribe:
		k.subscribers.remove(r.subscriber)
	}
	s := k.load()
	if r.then != nil {
		r.then(Entry{Key: k.name, Value: s.value, Version: s.version})
	}
	batch[0] = nil
	r.answer(s.version, nil)
}

// writeBuffers hold the writes of a run while it is committed.
var writeBuffers = sync.Pool{New: func() any { return new([]Write) }}

// write handles a run of writes: check, commit, publish, answer, tell. The
// answer comes before the updates, for a writer need not wait for others to
// be told; it comes after the publication, for a read that follows the answer
// must see the write.
func (k *key) write(run []*request) {
	buffer := writeBuffers.Get().(*[]Write)
	writes := (*buffer)[:0]
	defer func() {
		clear(writes)
		*buffer = writes
		writeBuffers.Put(buffer)
	}()

	exists := k.load().value != nil
	for _, r := range run {
		if r.absent = r.op == opDelete && !exists; r.absent {
			continue
		}
		exists = r.op == opWrite
		writes = append(writes, Write{Key: k.name, Value: r.value})
	}
	err := k.commit(writes)
	if err == nil {
		for _, w := range writes {
			k.advance(w)
		}
	}
	next := 0
	for i, r := range run {
		run[i] = nil // answered, whatever happens from here on
		switch {
		case err != nil: // what was absent may be so by a write that failed
			r.answer(0, err)
		case r.absent:
			r.answer(0, ErrNotFound)
		default:
			r.answer(writes[next].Version, nil)
			next++
		}
	}
	if err == nil {
		for _, w := range writes {
			k.tell(w)
		}
	}
}

func (k *key) commit(writes []Write) error {
	if len(writes) == 0 {
		return nil
	}
	if err := k.keyspace.store.Commit(k.keyspace.lifetime, writes); err != nil {
		return fmt.Errorf("%w: commit %q: %w", ErrUnavailable, k.name, err)
	}
	return nil
}

// advance makes the key's state that of a committed write, unless it is past
// it: one that comes twice, or late, changes nothing.
func (k *key) advance(w Write) {
	if w.Version > k.load().version {
		k.state.Store(&state{value: w.Value, version: w.Version})
	}
}

func (k *key) tell(w Write) {
	if k.subscribers.any() {
		k.subscribers.deliver(newKeyUpdate(w))
	}
}

// panicked puts an heir in the place of the key: it starts at what the key had
// published, with its subscribers. What the key was handling is answered with
// ErrInternal; a write among it may have been committed, but was not published.
func (k *key) panicked(p actor.Panic[*request]) {
	k.subscribers.settle(p.Lost)
	if k.held() {
		heir := k.keyspace.newKey(k.name)
		heir.state.Store(k.state.Load())
		heir.subscribers = k.subscribers
		k.keyspace.keys.replace(k.name, k, heir)
	} else {
		k.keyspace.keys.remove(k.name, k)
	}
	k.keyspace.onPanic(Panic{Key: k.name, Value: p.Value, Stack: p.Stack})
}
