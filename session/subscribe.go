package session

import (
	"context"
	"errors"
	"slices"

	"rtdb/keyspace"
)

// A Start says how a subscription begins, as [keyspace.Start] does: with the
// writes from now on, with a snapshot, or with the changes after a revision.
type Start struct {
	Snapshot bool
	Resume   bool
	Since    uint64
	Epoch    string // of Since; "" if the client does not know it
	Last     int    // limits the snapshot of a pattern; 0: no limit
}

// Subscribe subscribes the client to all targets. First the client receives the
// updates that start asks for, one target after the other, as fast as it reads, and
// each key once. Then it receives the mark, which reply returns. Writes after that are
// delivered after the mark. reply may return nil: then there is no mark. If only some of
// the targets can be resumed, everything is sent again, as a snapshot. While a pattern's
// snapshot is sent, updates may come before the mark; of a key or a topic none do.
//
// Subscribe returns a *keyspace.NameError if a target is not valid, ErrTooMany, and ErrLeft
// if StopSnapshot was called.
// After an error the client is subscribed to no target that it was not subscribed
// to before.
func (s *Session) Subscribe(ctx context.Context, targets []keyspace.Target, start Start, reply func(keyspace.Mark) []byte) error {
	for _, t := range targets {
		if err := t.Check(); err != nil {
			return err
		}
	}
	x := &subscribing{session: s, targets: inOrder(targets), start: start, reply: reply}
	if added := s.countNew(x.targets); added > 0 {
		if limit := s.options.MaxSubscriptions; limit > 0 && s.subscriptions.len()+added > limit || s.crowded() {
			return ErrTooMany
		}
	}
	if start.Snapshot || start.Resume {
		if !s.snapshot.begin() {
			return ErrLeft
		}
		defer s.snapshot.end()
	}
	err := x.run(ctx)
	if err == nil && x.mixed() {
		// The client could not tell which of its keys are still there.
		x.start = Start{Snapshot: true, Last: x.start.Last}
		err = x.run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, s.Unsubscribe(ctx, x.added))
	}
	return err
}

// inOrder returns the targets, each once: the patterns, then the keys, then the
// topics and their patterns. A key that a pattern matches needs no snapshot of its own when its turn
// comes, and a topic has none.
func inOrder(targets []keyspace.Target) []keyspace.Target {
	if len(targets) < 2 {
		return targets
	}
	ordered := make([]keyspace.Target, 0, len(targets))
	var known subscriptions
	for _, kind := range []keyspace.Kind{keyspace.KindPattern, keyspace.KindKey, keyspace.KindTopic, keyspace.KindTopicPattern} {
		for _, t := range targets {
			if t.Kind == kind && known.add(t) {
				ordered = append(ordered, t)
			}
		}
	}
	return ordered
}

// countNew counts the targets that the client is not subscribed to.
func (s *Session) countNew(targets []keyspace.Target) (n int) {
	for _, t := range targets {
		if !s.subscriptions.has(t) {
			n++
		}
	}
	return n
}

// A subscribing is a call of Subscribe.
type subscribing struct {
	session *Session
	targets []keyspace.Target
	start   Start
	reply   func(keyspace.Mark) []byte

	patterns []string          // the patterns whose turn is over
	added    []keyspace.Target // targets that the client was not subscribed to before
	resumed  bool              // the keyspace knew the changes of a target
	reset    bool              // it did not know the changes of another target
}

// mixed reports whether some targets were resumed and others were not.
func (x *subscribing) mixed() bool { return x.start.Resume && x.resumed && x.reset }

func (x *subscribing) run(ctx context.Context) error {
	x.patterns = x.patterns[:0]
	for i, t := range x.targets {
		if err := x.waitForSpace(); err != nil {
			return err
		}
		// It is noted first: if ctx ends, the keyspace may still subscribe.
		isNew := x.session.subscriptions.add(t)
		if isNew {
			x.session.subscribed.Add(1)
			x.added = append(x.added, t)
		}
		err := x.session.keyspace.Subscribe(ctx, t, x.session, keyspace.Start{
			Snapshot: x.start.Snapshot, Last: x.start.Last,
			Resume: x.start.Resume, Since: x.start.Since, Epoch: x.start.Epoch,
			Each:     x.each(t),
			Throttle: x.waitForSpace,
			Mark:     func(m keyspace.Mark) { x.mark(m, t, i == len(x.targets)-1) },
		})
		if err != nil {
			return err
		}
		if isNew {
			x.session.subscriptions.share(x.session.keyspace.Own(t))
		}
		if t.Kind == keyspace.KindPattern {
			x.patterns = append(x.patterns, t.Name)
		}
	}
	return nil
}

// waitForSpace is Session.waitForSpace. It returns ErrLeft after StopSnapshot.
func (x *subscribing) waitForSpace() error {
	err := x.session.waitForSpace()
	if err == nil && x.session.snapshot.stopped() {
		err = ErrLeft
	}
	return err
}

// each returns the function that receives the values of the target's keys. It leaves
// out keys that a pattern before has passed.
func (x *subscribing) each(t keyspace.Target) func(*keyspace.Update) {
	if len(x.patterns) == 0 {
		return x.session.deliverSnapshot
	}
	if t.Kind == keyspace.KindKey && !matchesAny(x.patterns, t.Name) {
		return x.session.deliverSnapshot
	}
	return func(u *keyspace.Update) {
		if !matchesAny(x.patterns, u.Target.Name) {
			x.session.deliverSnapshot(u)
		}
	}
}

// mark receives the mark of each target. The mark of the last one is the client's.
func (x *subscribing) mark(m keyspace.Mark, t keyspace.Target, last bool) {
	if t.OfTopics() { // it has nothing to resume, so it takes the result of the other targets
		m.Reset = x.reset
	}
	x.reset = x.reset || m.Reset
	x.resumed = x.resumed || x.start.Resume && !m.Reset
	if !last || x.mixed() {
		return
	}
	m.Reset = x.reset
	if text := x.reply(m); text != nil {
		x.session.queueReply(text)
	}
}

// Targets returns the client's subscriptions, in no order.
func (s *Session) Targets() []keyspace.Target { return slices.Collect(s.subscriptions.all()) }

// Unsubscribe is the reverse of Subscribe: after it has returned nil, nothing more
// of the targets is queued.
func (s *Session) Unsubscribe(ctx context.Context, targets []keyspace.Target) error {
	var errs []error
	ofTopics := false
	for _, t := range targets {
		err := s.keyspace.Unsubscribe(ctx, t, s)
		if err == nil && s.subscriptions.remove(t) {
			s.subscribed.Add(-1)
		}
		ofTopics = ofTopics || t.OfTopics()
		errs = append(errs, err)
	}
	if ofTopics {
		s.box.forgetMissed(slices.DeleteFunc(s.box.missedTopics(), s.subscriptions.deliversTopic))
	}
	return errors.Join(errs...)
}

// Get queues the reply that reply makes of the key's entry. The entry's value is nil
// if the key has none. The client never sees the key go back, whether it reads or receives
// updates.
func (s *Session) Get(ctx context.Context, key string, reply func(keyspace.Entry) []byte) error {
	if err := s.waitForSpace(); err != nil {
		return err
	}
	queue := func(e keyspace.Entry) {
		if text := reply(e); text != nil {
			s.queueReply(text)
		}
	}
	if s.subscriptions.deliversKey(key) {
		return s.keyspace.GetInOrder(ctx, key, queue)
	}
	e, err := s.keyspace.Get(key)
	if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
		return err
	}
	queue(e)
	return nil
}
