package keyspace

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

var (
	// ErrNotFound means that the key has no value.
	ErrNotFound = errors.New("keyspace: no such key")

	// ErrClosed means that the keyspace was shut down.
	ErrClosed = errors.New("keyspace: closed")

	// ErrUnavailable means that the store could not make the write durable, so
	// the write did not take effect. It wraps the store's error.
	ErrUnavailable = errors.New("keyspace: store failed")

	// ErrUnknownOutcome means that the store could not learn whether the write was made.
	// An error that wraps it wraps ErrUnavailable, too.
	ErrUnknownOutcome = errors.New("keyspace: the write may have been made")

	// ErrCutOff means that a shared store cannot be reached, so the write was not made. An
	// error that wraps it wraps ErrUnavailable, too.
	ErrCutOff = errors.New("keyspace: cut off from the store")

	// ErrInternal means that the actor panicked before it answered the request.
	// It is not known whether a write took effect.
	ErrInternal = errors.New("keyspace: actor panicked")
)

// Options are the settings of a [Keyspace]. The zero value keeps everything in
// memory.
type Options struct {
	// Store makes writes durable. If it is nil, nothing is durable, and the
	// versions start at the clock's microseconds. Shutdown closes it.
	Store Store

	// MaxKeys limits the number of keys that have a value. A write that would
	// make one more key returns ErrTooManyKeys. 0 means no limit.
	MaxKeys int

	// Full reports whether memory is short. If it is, a write that would make a
	// key, or make a value more than 1 KiB longer, returns ErrFull. Many actors
	// may call Full at the same time, and it must return at once. If it is nil,
	// memory is never short.
	Full func() bool

	// Refuse returns the reason if the store takes no more values, else nil. While there
	// is a reason, a write that stores a value, and a touch, return an error that wraps
	// both ErrUnavailable and the reason. Deletes and expiries go on. Many actors may
	// call Refuse at the same time, and it must return at once. If Refuse is nil, no
	// write is refused.
	Refuse func() error

	// OnPanic receives each panic of an actor, and of a subscriber of a burst. If it is nil, panics
	// are not reported.
	OnPanic func(Panic)
}

// A Panic describes the panic of an actor. A successor takes over with the state
// and the subscribers that the actor had. If a subscriber panics while a burst is delivered, no
// actor ends.
type Panic struct {
	Target Target // the key or the topic of the actor; of a burst, one of its keys
	Value  any    // the value that was passed to panic
	Stack  []byte // of the goroutine
}

// A Keyspace is a set of keys and topics. Its methods may be called from any
// goroutine. A method that takes a name returns a [NameError] if the name is not
// valid.
type Keyspace struct {
	store    Store
	inMemory bool         // the store commits at once
	brief    BriefStore   // the store, if it is one
	shared   SharedStore  // the store, if it is shared; otherwise nil
	feed     *feed        // of the shared store; otherwise nil
	bus      Bus          // the store, if it carries messages; otherwise nil
	refuse   func() error // nil: nothing is refused
	onPanic  func(Panic)
	keys     directory[*key]
	topics   directory[*topic]

	records    records    // of keys
	topicTable topicTable // of topics
	epoch      string     // names the history that the versions belong to
	index      index      // of the keys that have a value
	patterns   patterns   // of keys that subscribers subscribe to
	ofTopics   patterns   // of topics that subscribers subscribe to
	quota      quota      // of keys that have a value
	tombstones tombstones // of deleted keys
	expiries   expiries   // of the keys that expire
	progress   progress   // of writes

	loaded      atomic.Bool     // the state is complete
	loading     chan struct{}   // holds a token during Load
	lifetime    context.Context // of the actors' calls to the store
	endLifetime context.CancelFunc
	closeStore  func() error // closes the store once
}

// Open returns a keyspace with the state that its store holds. If it fails, it closes the
// store.
func Open(o Options) (*Keyspace, error) {
	ks := New(o)
	if err := ks.Load(); err != nil {
		ks.endLifetime()
		return nil, errors.Join(err, ks.closeStore())
	}
	return ks, nil
}

// New returns a keyspace whose state is not loaded yet. Until Load has returned, only
// Loaded, Keys, Revision and Shutdown may be called.
func New(o Options) *Keyspace {
	ks := &Keyspace{
		store: o.Store, refuse: o.Refuse, onPanic: o.OnPanic, loading: make(chan struct{}, 1),
		quota: quota{max: int64(o.MaxKeys), full: o.Full},
	}
	if ks.store == nil {
		ks.store = newClockMemory()
	}
	ks.brief, _ = ks.store.(BriefStore)
	_, ks.inMemory = ks.store.(*memory)
	if ks.onPanic == nil {
		ks.onPanic = func(Panic) {}
	}
	if shared, ok := ks.store.(SharedStore); ok {
		ks.shared, ks.feed = shared, newFeed(ks)
		ks.progress.followed, ks.expiries.delay = true, shared.ExpiryDelay
	}
	if bus, ok := ks.store.(Bus); ok {
		ks.bus, ks.ofTopics.changed = bus, ks.listenToPattern
	}
	ks.closeStore = sync.OnceValue(ks.store.Close)
	ks.records.init(ks)
	ks.topicTable.keyspace = ks
	ks.keys.names, ks.topics.names = &ks.records, &ks.topicTable
	ks.index.init()
	ks.lifetime, ks.endLifetime = context.WithCancel(context.Background())
	return ks
}

// Load loads the state that the store holds. It is called once. It returns ErrClosed if
// Shutdown was called.
func (ks *Keyspace) Load() error {
	ks.loading <- struct{}{}
	defer func() { <-ks.loading }()
	if ks.keys.closed.Load() { // the store may be closed
		return ErrClosed
	}
	h, err := ks.store.Load(storeState{ks})
	if err == nil && ks.keys.closed.Load() {
		err = ErrClosed
	}
	if err != nil {
		return fmt.Errorf("keyspace: load: %w", err)
	}
	ks.epoch = cmp.Or(h.Epoch, newEpoch())
	ks.progress.start(h.Last)
	ks.tombstones.forget(h.Forgotten)
	if ks.shared != nil {
		ks.shared.Follow(ks.feed)
	}
	ks.expiries.enable()
	ks.loaded.Store(true)
	return nil
}

// Loaded reports whether Load has loaded the state.
func (ks *Keyspace) Loaded() bool { return ks.loaded.Load() }

// Refusal returns the reason if writes that store a value are refused (Options.Refuse),
// else nil.
func (ks *Keyspace) Refusal() error {
	if ks.refuse == nil {
		return nil
	}
	return ks.refuse()
}

// newEpoch returns the name of a new history.
func newEpoch() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return hex.EncodeToString(random[:])
}

// Epoch returns the name of the history that versions and revisions belong to. It is
// new at each start, unless the store keeps it.
func (ks *Keyspace) Epoch() string { return ks.epoch }

// Get returns the key's value and version, or ErrNotFound. It does not wait. It
// sees every write that was answered before Get was called.
func (ks *Keyspace) Get(key string) (Entry, error) {
	if err := CheckName(key); err != nil {
		return Entry{}, err
	}
	r := ks.records.find(key)
	if r == nil {
		return Entry{}, ErrNotFound
	}
	e := r.entry()
	if e.Value == nil {
		return Entry{}, ErrNotFound
	}
	return e, nil
}

// GetInOrder reads the key for a caller that is also a subscriber. It calls then
// with the key's entry after the update that made the value was delivered, and
// before the next update is delivered. So the subscriber sees one sequence.
//
// If the key has no value, the entry's value is nil, and its version is that of the
// delete, or 0 if the delete is not remembered.
//
// The key's actor calls then. Like Deliver, then must return at once and must not
// call the keyspace. GetInOrder returns after then has returned. If ctx ends first,
// GetInOrder returns its cause, and the actor may still call then.
func (ks *Keyspace) GetInOrder(ctx context.Context, key string, then func(Entry)) error {
	if err := CheckName(key); err != nil {
		return err
	}
	// A key that does not exist gets an actor, too. Without one, another client
	// could make the key, and its update could be delivered, before then is
	// called.
	return ks.keys.call(ctx, key, true, task{op: opRead, then: then})
}

// Publish delivers a message to the topic's subscribers. The caller must not change
// the value afterwards. If the store is a [Bus], the subscribers on other keyspaces get
// the message, too; if the bus cannot send it, nobody gets it, and Publish returns an error
// that wraps ErrUnavailable.
func (ks *Keyspace) Publish(ctx context.Context, topic string, value []byte) error {
	return ks.PublishFor(ctx, topic, value, nil)
}

// PublishFor is Publish for a goroutine that others wait for.
func (ks *Keyspace) PublishFor(ctx context.Context, topic string, value []byte, w Waiter) error {
	if err := CheckName(topic); err != nil {
		return err
	}
	if ks.bus != nil {
		if w != nil {
			w.Detach()
		}
		if err := ks.publishToOthers(topic, value); err != nil {
			return err
		}
	}
	t := task{op: opPublish, change: Change{Value: value, Waiter: w}}
	err := ks.topics.call(ctx, topic, false, t)
	if errors.Is(err, errAbsent) && ks.ofTopics.match(topic) { // without an actor, only patterns can have subscribers
		err = ks.topics.call(ctx, topic, true, t)
	}
	return ignoreAbsent(err)
}

// Shutdown ends the keyspace. It refuses new requests with ErrClosed, answers the
// requests that were accepted, and then closes the store. The store is last because
// an accepted write needs it. If ctx ends first, Shutdown returns its cause and
// leaves the store open. Get still works after Shutdown. Shutdown also ends a Load that
// has not returned.
func (ks *Keyspace) Shutdown(ctx context.Context) error {
	ks.expiries.disable() // keys that are due now are due again at the next start
	if err := errors.Join(ks.topics.shutdown(ctx), ks.keys.shutdown(ctx)); err != nil {
		ks.endLifetime() // a commit that hangs may now give up
		return err
	}
	ks.endLifetime()
	if ks.feed != nil {
		ks.feed.close()
	}
	if err := ks.waitLoad(ctx); err != nil {
		return err
	}
	return ks.closeStore()
}

// waitLoad waits until Load has returned, if it was called. A later Load does nothing,
// because the keyspace is shut down.
func (ks *Keyspace) waitLoad(ctx context.Context) error {
	select {
	case ks.loading <- struct{}{}:
	default:
		select {
		case ks.loading <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	<-ks.loading
	return nil
}
