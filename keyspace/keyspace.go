package keyspace

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var (
	// ErrNotFound means that the key has no value.
	ErrNotFound = errors.New("keyspace: no such key")

	// ErrClosed means that the keyspace was shut down.
	ErrClosed = errors.New("keyspace: closed")

	// ErrUnavailable means that the store could not make the write durable.
	// It wraps the store's error. The write did not take effect.
	ErrUnavailable = errors.New("keyspace: store failed")

	// ErrInternal means that the actor panicked over the request. Whether a
	// write took effect is not known.
	ErrInternal = errors.New("keyspace: actor panicked")
)

// Options are the settings of a [Keyspace]. The zero value keeps all in memory.
type Options struct {
	// Store makes writes durable. nil is a store in memory whose versions
	// start at the clock's microseconds. Shutdown closes it.
	Store Store

	// MaxKeys is how many keys may have a value. A write that would make one
	// more returns ErrTooManyKeys. 0 is no limit.
	MaxKeys int

	// Full says that there is no room for more keys, whatever their number: a
	// write that would make one, or would make a value 1 KiB longer, returns
	// ErrFull. It is called by the keys'
	// actors and must return at once. nil: there always is.
	Full func() bool

	// OnPanic is told of each panic of an actor. Where it is nil nobody is.
	OnPanic func(Panic)
}

// A Panic says which actor panicked, and how. The actor's name goes on with
// the state and the subscribers that it had.
type Panic struct {
	Target Target // the key or the topic of the actor
	Value  any    // what was passed to panic
	Stack  []byte // of the actor's goroutine
}

// A Keyspace is a set of keys and topics. Its methods may be called from any
// goroutine. All that take a name return a [NameError] where it is none.
type Keyspace struct {
	store   Store
	onPanic func(Panic)
	keys    directory[*key]
	topics  directory[*topic]

	index      index      // of the keys that have a value
	patterns   patterns   // of subscribers
	quota      quota      // of keys that have a value
	tombstones tombstones // of deleted keys
	expiries   expiries
	progress   progress // of writes

	lifetime context.Context // of the actors' calls to the store
	end      context.CancelFunc
	close    func() error // the store, once
}

// Open returns a keyspace with the state that its store holds.
func Open(o Options) (*Keyspace, error) {
	ks := &Keyspace{store: o.Store, onPanic: o.OnPanic, quota: quota{max: int64(o.MaxKeys), full: o.Full}}
	if ks.store == nil {
		ks.store = newClockMemory()
	}
	if ks.onPanic == nil {
		ks.onPanic = func(Panic) {}
	}
	ks.close = sync.OnceValue(ks.store.Close)
	ks.keys.spawn, ks.topics.spawn = ks.newKey, ks.newTopic
	ks.index.init()
	ks.lifetime, ks.end = context.WithCancel(context.Background())
	last, err := ks.store.Load(func(w Write) error {
		if err := CheckName(w.Key); err != nil {
			return err
		}
		k, err := ks.keys.owner(w.Key, true)
		if err != nil {
			return err
		}
		k.advance(&w, nil)
		ks.expiries.set(k, w.Expires)
		return nil
	})
	if err != nil {
		ks.end()
		return nil, fmt.Errorf("keyspace: load: %w", err)
	}
	// What was deleted before is not known.
	ks.progress.last, ks.tombstones.floor = last, last
	ks.expiries.begin()
	return ks, nil
}

// Get returns what the key holds, or ErrNotFound. It waits for nobody: a read
// sees every write that was answered before it began.
func (ks *Keyspace) Get(key string) (Entry, error) {
	if err := CheckName(key); err != nil {
		return Entry{}, err
	}
	k, ok := ks.keys.find(key)
	if !ok {
		return Entry{}, ErrNotFound
	}
	s := k.load()
	if s.value == nil {
		return Entry{}, ErrNotFound
	}
	return Entry{Key: k.name, Value: s.value, Version: s.version}, nil
}

// GetInOrder reads by way of the key's actor: it calls then with what the key
// holds, between the update that made it so and the next. So a subscriber that
// asks too sees one sequence. The entry's value is nil where the key holds
// nothing, and its version then that of the delete, or 0 where that is not
// remembered. then is called before GetInOrder returns, unless ctx ends first;
// it is called by the actor, as Deliver is, and is bound as Deliver is.
func (ks *Keyspace) GetInOrder(ctx context.Context, key string, then func(Entry)) error {
	if err := CheckName(key); err != nil {
		return err
	}
	// By an actor also where there is none: else the key could be made, and
	// that be told, before then is called.
	return ks.keys.call(ctx, key, true, task{op: opRead, then: then})
}

// Publish passes a value, which must not be changed from then on, to the
// topic's subscribers.
func (ks *Keyspace) Publish(ctx context.Context, topic string, value []byte) error {
	if err := CheckName(topic); err != nil {
		return err
	}
	return exceptAbsent(ks.topics.call(ctx, topic, false, task{op: opWrite, change: Change{Value: value}}))
}

// Shutdown refuses requests from now on with ErrClosed, answers those that
// were accepted, and then closes the store: in this order, for a write that
// was accepted needs the store. Where ctx ends first it returns its cause and
// leaves the store open. Get goes on working.
func (ks *Keyspace) Shutdown(ctx context.Context) error {
	ks.expiries.close() // what is due at the end is due again at the next start
	if err := errors.Join(ks.topics.shutdown(ctx), ks.keys.shutdown(ctx)); err != nil {
		ks.end() // a commit that hangs may now give up
		return err
	}
	ks.end()
	return ks.close()
}
