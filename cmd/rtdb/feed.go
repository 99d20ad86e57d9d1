package main

import (
	"context"
	"encoding/json"
	"sync"

	"rtdb/transport/client"
)

// A feed follows keys and topics, and merges their events into one sequence.
type feed struct {
	server   *clientFlags
	patterns []string
	topics   []string
	snapshot bool // begin with the current values

	events chan feedEvent
	cancel context.CancelFunc
	task   sync.WaitGroup
	seen   map[string]uint64 // the newest version of each key, if several patterns may match it
}

// A feedEvent is a change, a message, a state, or an error.
type feedEvent struct {
	change  *client.Change[json.RawMessage]
	pattern int // index of the pattern of the change
	message *client.Message[json.RawMessage]
	state   *stateChange
	err     error // the feed has ended
}

// A stateChange is a new state of the connection.
type stateChange struct {
	state  client.State
	reason error
}

// start begins to follow. The channel of events is closed when the feed has ended: after
// an error, or when ctx has ended.
func (f *feed) start(ctx context.Context) <-chan feedEvent {
	f.events = make(chan feedEvent, 256)
	if len(f.patterns) > 1 {
		f.seen = make(map[string]uint64)
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.task.Go(func() {
		defer close(f.events)
		if err := f.follow(ctx); err != nil && ctx.Err() == nil {
			f.send(ctx, feedEvent{err: err})
		}
	})
	return f.events
}

// stop ends the feed.
func (f *feed) stop() {
	f.cancel()
	f.task.Wait()
}

// follow connects, however long that takes, and returns the first error.
func (f *feed) follow(ctx context.Context) error {
	url, options := f.server.clientOptions()
	c, err := client.Dial(ctx, url, append(options, client.OnState(func(s client.State, reason error) {
		f.send(ctx, feedEvent{state: &stateChange{s, reason}})
	}))...)
	if err != nil {
		return err
	}
	all, cancel := context.WithCancelCause(ctx) // the first one that ends, ends all
	defer cancel(nil)
	var following sync.WaitGroup
	for i := range f.patterns {
		following.Go(func() { cancel(f.watch(all, c, i)) })
	}
	for _, topic := range f.topics {
		following.Go(func() { cancel(f.listen(all, c, topic)) })
	}
	following.Wait()
	_ = c.Close() // it has nothing to tell
	return context.Cause(all)
}

// watch sends the changes of the keys of a pattern, and returns the error that ends them.
func (f *feed) watch(ctx context.Context, c *client.Client, pattern int) error {
	begun := f.snapshot
	for change, err := range client.Watch[json.RawMessage](ctx, c, f.patterns[pattern], client.WithMarks()) {
		switch {
		case err != nil:
			return err
		case change.Mark == client.Synced && !begun:
			begun = true
		case !begun:
		default:
			f.send(ctx, feedEvent{change: &change, pattern: pattern})
		}
	}
	return nil
}

// listen sends the messages of topics, and returns the error that ends them.
func (f *feed) listen(ctx context.Context, c *client.Client, topic string) error {
	for message, err := range client.Listen[json.RawMessage](ctx, c, topic) {
		if err != nil {
			return err
		}
		f.send(ctx, feedEvent{message: &message})
	}
	return nil
}

func (f *feed) send(ctx context.Context, e feedEvent) {
	select {
	case f.events <- e:
	case <-ctx.Done():
	}
}

// isRepeated reports whether the change of a key, or a newer one, has come before by another
// pattern. The receiver of the events calls it.
func (f *feed) isRepeated(change *client.Change[json.RawMessage]) bool {
	if f.seen == nil {
		return false
	}
	if change.Version <= f.seen[change.Key] {
		return true
	}
	f.seen[change.Key] = change.Version
	return false
}

// changed takes a new state of the connection: after a restart, the server may have lost
// versions that have come before.
func (f *feed) changed(s stateChange) {
	if s.state == client.Open {
		clear(f.seen)
	}
}
