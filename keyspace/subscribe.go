package keyspace

import (
	"context"
	"errors"
	"time"
)

// A Start says how a subscription begins. With the zero value, the subscriber
// receives only the writes from now on.
type Start struct {
	// Snapshot passes the value of each key to Each.
	Snapshot bool

	// Resume passes to Each only the keys that changed after the revision
	// Since, including deletes. If the keyspace cannot know what changed, it
	// passes all keys, as for Snapshot, and the Mark says Reset. The keyspace
	// cannot know it if Since is older than the deletes that it remembers, or
	// if Since was not promised by this keyspace.
	//
	// Epoch, if it is not "", is the epoch of Since. If it is not the epoch of
	// this keyspace, the keyspace cannot know what changed.
	Resume bool
	Since  uint64
	Epoch  string

	// Last, if it is above 0, limits the snapshot of a pattern to the last keys
	// in the order of List. It does not limit what a Resume passes.
	Last int

	// Each receives the value of one key. Later updates of the key are
	// delivered after it. No earlier update is delivered, unless the subscriber
	// had already subscribed before. A write that comes after a pattern's
	// subscription began is delivered, and is not passed to Each. Like Deliver,
	// Each must return at once and must not call the keyspace.
	Each func(*Update)

	// Throttle, if it is not nil, is called by a pattern's subscription before
	// each key that is read. It may block until the subscriber can take more.
	// Its error ends the subscription.
	Throttle func() error

	// Mark, if it is not nil, is called once, after the last call of Each has
	// returned. Writes that are made after the mark are delivered after it.
	// Like Deliver, Mark must return at once and must not call the keyspace.
	Mark func(Mark)
}

// normalize turns the start into a snapshot if reset is true. It clears Since if
// nothing is resumed.
func (s *Start) normalize(reset bool) {
	if reset {
		s.Resume, s.Snapshot = false, true
	}
	if !s.Resume {
		s.Since = 0
	}
}

// mark passes the mark to Mark.
func (s *Start) mark(m Mark) {
	if s.Mark != nil {
		s.Mark(m)
	}
}

// A Mark is the point in a subscription between the keys that were passed to Each
// and the updates that follow.
type Mark struct {
	// Epoch is the epoch of Revision.
	Epoch string

	// Revision is a revision to resume from. A subscriber that has received
	// everything before the mark, and resumes from Revision, misses no write to
	// the target that was made after the subscription began.
	Revision uint64

	// Reset says that Each received all keys, or the last ones with Start.Last,
	// although the start asked to resume. If the subscriber has kept the values
	// of other keys, it must forget them.
	Reset bool
}

// Subscribe delivers every update of the target to s from now on. A second
// subscription of the same target is the same subscription. For topics only
// start.Mark counts, because a topic holds nothing.
//
// For a pattern with a snapshot, or with something to resume, Subscribe reads one
// key after the other, and returns when it has read all. If it returns an error the
// subscription may have begun, so s must be unsubscribed.
func (ks *Keyspace) Subscribe(ctx context.Context, t Target, s Subscriber, start Start) error {
	if err := t.Check(); err != nil {
		return err
	}
	if ks.shared != nil && start.Resume && !t.OfTopics() {
		ks.awaitRevision(ctx, &start)
	}
	switch t.Kind {
	case KindPattern:
		return ks.subscribePattern(ctx, t.Name, s, start)
	case KindTopicPattern:
		if ks.topics.closed.Load() {
			return ErrClosed
		}
		ks.ofTopics.add(t.Name, s, func() { start.mark(ks.mark(false)) })
		return nil
	case KindTopic:
		return ks.topics.call(ctx, t.Name, true, task{op: opSubscribe, subscriber: s, start: &start})
	}
	return ks.keys.call(ctx, t.Name, true, task{op: opSubscribe, subscriber: s, start: &start})
}

// Own returns the target with the keyspace's own copy of its name, if it has one: of a key or
// topic that has a subscriber it does. A subscriber that keeps the names of its targets then
// needs no copies of its own, which are 16 of 67 bytes of a subscription
// (BenchmarkSubscriptions of package session).
func (ks *Keyspace) Own(t Target) Target {
	switch t.Kind {
	case KindKey:
		if r := ks.records.find(t.Name); r != nil {
			t.Name = r.name
		}
	case KindTopic:
		if x, ok := ks.topicTable.get(t.Name, false); ok {
			t.Name = x.name
		}
	}
	return t
}

// revisionWait is how long a subscriber that comes from another keyspace waits for this one
// to reach the subscriber's revision.
const revisionWait = time.Second

// awaitRevision waits until this keyspace has reached the revision that a start resumes from,
// for at most revisionWait. After that, the subscriber is passed everything. Without the
// wait, a write that the subscriber has seen could be delivered after a newer one of the key.
func (ks *Keyspace) awaitRevision(ctx context.Context, s *Start) {
	if s.Epoch == "" || s.Epoch == ks.epoch {
		ctx, cancel := context.WithTimeout(ctx, revisionWait)
		defer cancel()
		ks.progress.await(ctx, s.Since)
	}
}

// Unsubscribe ends a subscription. It does nothing if s is not subscribed to the
// target. After it has returned nil, s receives nothing more because of this
// target.
func (ks *Keyspace) Unsubscribe(ctx context.Context, t Target, s Subscriber) error {
	if err := t.Check(); err != nil {
		return err
	}
	switch t.Kind {
	case KindPattern:
		ks.patterns.remove(t.Name, s)
		return nil
	case KindTopicPattern:
		ks.ofTopics.remove(t.Name, s)
		return nil
	case KindTopic:
		return ignoreAbsent(ks.topics.call(ctx, t.Name, false, task{op: opUnsubscribe, subscriber: s}))
	}
	return ignoreAbsent(ks.keys.call(ctx, t.Name, false, task{op: opUnsubscribe, subscriber: s}))
}

// ignoreAbsent returns nil for errAbsent: without an actor there is nothing to do.
func ignoreAbsent(err error) error {
	if errors.Is(err, errAbsent) {
		return nil
	}
	return err
}
