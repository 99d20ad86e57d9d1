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

	errNoValue = errors.New("keyspace: set without a value")
)

// Options are the settings of a [Keyspace]. The zero value keeps all in memory.
type Options struct {
	// Store makes writes durable. nil is a store in memory whose versions
	// start at the clock's microseconds. Shutdown closes it.
	Store Store

	// OnPanic is told of each panic of an actor. Where it is nil nobody is.
	OnPanic func(Panic)
}

// A Panic says which actor panicked, and how. The actor's name goes on with
// the state and the subscribers that it had.
type Panic struct {
	Key, Topic string // one of them is empty
	Value      any
	Stack      []byte
}

// A Keyspace is a set of keys and topics. Its methods may be called from any
// goroutine. All that take a name return a [NameError] where it is none.
type Keyspace struct {
	store    Store
	onPanic  func(Panic)
	keys     directory[*key]
	topics   directory[*topic]
	lifetime context.Context // of the actors' calls to the store
	end      context.CancelFunc
	close    func() error // the store, once
}

// Open returns a keyspace with the state that its store holds.
func Open(o Options) (*Keyspace, error) {
	ks := &Keyspace{store: o.Store, onPanic: o.OnPanic}
	if ks.store == nil {
		ks.store = newClockMemory()
	}
	if ks.onPanic == nil {
		ks.onPanic = func(Panic) {}
	}
	ks.close = sync.OnceValue(ks.store.Close)
	ks.keys.spawn, ks.topics.spawn = ks.newKey, ks.newTopic
	ks.lifetime, ks.end = context.WithCancel(context.Background())
	err := ks.store.Load(func(e Entry) error {
		if err := CheckName(e.Key); err != nil {
			return err
		}
		k, err := ks.keys.owner(e.Key, true)
		if err == nil {
			k.advance(Write(e))
		}
		return err
	})
	if err != nil {
		ks.end()
		return nil, fmt.Errorf("keyspace: load: %w", err)
	}
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

// Set writes a value, which must not be nil and must not be changed from then
// on, and returns the version of the write. Where ctx ends before the answer,
// Set returns its cause, and whether the write took effect is not known.
func (ks *Keyspace) Set(ctx context.Context, key string, value []byte) (version uint64, err error) {
	if value == nil {
		return 0, errNoValue
	}
	if err := CheckName(key); err != nil {
		return 0, err
	}
	return ks.keys.ask(ctx, key, true, ask{op: opWrite, value: value})
}

// Delete deletes the key's value and returns the version of that write, or
// ErrNotFound. As to ctx it is as Set.
func (ks *Keyspace) Delete(ctx context.Context, key string) (version uint64, err error) {
	if err := CheckName(key); err != nil {
		return 0, err
	}
	version, err = ks.keys.ask(ctx, key, false, ask{op: opDelete})
	if errors.Is(err, errAbsent) {
		return 0, ErrNotFound
	}
	return version, err
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
	_, err := ks.keys.ask(ctx, key, false, ask{op: opRead, then: then})
	if errors.Is(err, errAbsent) {
		then(Entry{Key: key})
		return nil
	}
	return err
}

// Subscribe has s told of every write to the key from now on; twice is as
// once. Where then is not nil it is called as by GetInOrder: the entry's
// version is the revision that the subscription starts from. Every later
// write is delivered after the call, and no earlier one is, but to a
// subscriber that had subscribed before.
func (ks *Keyspace) Subscribe(ctx context.Context, key string, s Subscriber, then func(Entry)) error {
	if err := CheckName(key); err != nil {
		return err
	}
	_, err := ks.keys.ask(ctx, key, true, ask{op: opSubscribe, subscriber: s, then: then})
	return err
}

// Unsubscribe is the reverse of Subscribe, and does nothing where s is not
// subscribed. After it has returned nil, s is told nothing more of the key.
func (ks *Keyspace) Unsubscribe(ctx context.Context, key string, s Subscriber) error {
	if err := CheckName(key); err != nil {
		return err
	}
	_, err := ks.keys.ask(ctx, key, false, ask{op: opUnsubscribe, subscriber: s})
	return exceptAbsent(err)
}

// Publish passes a value, which must not be changed from then on, to the
// topic's subscribers.
func (ks *Keyspace) Publish(ctx context.Context, topic string, value []byte) error {
	if err := CheckName(topic); err != nil {
		return err
	}
	_, err := ks.topics.ask(ctx, topic, false, ask{op: opWrite, value: value})
	return exceptAbsent(err)
}

// SubscribeTopic has s told of what is published to the topic from now on;
// twice is as once. Where then is not nil it is called as by Subscribe.
func (ks *Keyspace) SubscribeTopic(ctx context.Context, topic string, s Subscriber, then func()) error {
	if err := CheckName(topic); err != nil {
		return err
	}
	a := ask{op: opSubscribe, subscriber: s}
	if then != nil {
		a.then = func(Entry) { then() }
	}
	_, err := ks.topics.ask(ctx, topic, true, a)
	return err
}

// UnsubscribeTopic is the reverse of SubscribeTopic, as Unsubscribe is of
// Subscribe.
func (ks *Keyspace) UnsubscribeTopic(ctx context.Context, topic string, s Subscriber) error {
	if err := CheckName(topic); err != nil {
		return err
	}
	_, err := ks.topics.ask(ctx, topic, false, ask{op: opUnsubscribe, subscriber: s})
	return exceptAbsent(err)
}

// Shutdown refuses requests from now on with ErrClosed, answers those that
// were accepted, and then closes the store: in this order, for a write that
// was accepted needs the store. Where ctx ends first it returns its cause and
// leaves the store open. Get goes on working.
func (ks *Keyspace) Shutdown(ctx context.Context) error {
	if err := errors.Join(ks.topics.shutdown(ctx), ks.keys.shutdown(ctx)); err != nil {
		ks.end() // a commit that hangs may now give up
		return err
	}
	ks.end()
	return ks.close()
}

func exceptAbsent(err error) error {
	if errors.Is(err, errAbsent) {
		return nil
	}
	return err
}
