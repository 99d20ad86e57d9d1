package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"rtdb/keyspace"
)

// A HubStore is the [keyspace.SharedStore] that connects one keyspace with a [Hub].
type HubStore struct {
	hub   *Hub
	index int
	grown chan struct{} // holds a token if there may be new commits

	running sync.WaitGroup // the feed, the bus, and commits that are late
	ctx     context.Context
	end     context.CancelFunc

	cutMu sync.Mutex
	cut   bool

	feedMu sync.Mutex // only one goroutine at a time calls the feed
	feed   keyspace.Feed
	read   uint64 // the number of the last commit that was passed to the feed

	mailMu   sync.Mutex
	listens  map[keyspace.Target]bool
	receiver keyspace.Receiver // nil before the first Listen, and after Close
	mail     []hubMessage      // the messages of topics that are on their way
	mailed   chan struct{}     // holds a token if there may be mail
}

// CutOff cuts the store off from the hub, or connects it again.
func (s *HubStore) CutOff(cut bool) {
	s.cutMu.Lock()
	s.cut = cut
	s.cutMu.Unlock()
	if !cut {
		signal(s.grown)
		s.Miss()
	}
}

// check returns an error if the store is cut off.
func (s *HubStore) check() error {
	s.cutMu.Lock()
	defer s.cutMu.Unlock()
	if s.cut {
		return fmt.Errorf("%w: keyspace %d of the hub", keyspace.ErrCutOff, s.index)
	}
	return nil
}

// Load implements [keyspace.Store].
func (s *HubStore) Load(state keyspace.State) (keyspace.History, error) {
	commits, history, last := s.hub.load()
	for _, c := range commits {
		for _, w := range c.records {
			if f := s.hub.fault.load; f != nil && !f(&w) {
				continue
			}
			if err := state.Apply(&w); err != nil {
				return keyspace.History{}, err
			}
		}
	}
	s.read = last - min(last, 3) // some records come twice
	if f := s.hub.fault.history; f != nil {
		f(s, &history)
	}
	return history, nil
}

// Follow implements [keyspace.SharedStore].
func (s *HubStore) Follow(f keyspace.Feed) {
	s.feed = f
	if s.hub.fault.gap {
		for range 10 {
			_ = s.hub.pause(s.ctx)
		}
		s.read = s.hub.last()
	}
	s.running.Go(func() {
		for {
			select {
			case <-s.grown:
			case <-s.ctx.Done():
				return
			}
			if s.hub.pause(s.ctx) == nil && s.check() == nil {
				s.pass(s.hub.last())
			}
		}
	})
}

// pass passes the commits up to a number to the feed.
func (s *HubStore) pass(last uint64) {
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	if s.feed == nil || last <= s.read {
		return
	}
	commits := s.hub.after(s.read, last)
	fault := &s.hub.fault
	if fault.early {
		s.feed.Advance(lastVersion(last))
		s.feedMu.Unlock()
		_ = s.hub.pause(context.Background()) // so that the revision can be seen
		s.feedMu.Lock()
	}
	if fault.deliver != nil {
		commits = fault.deliver(s, commits)
	}
	for _, c := range commits {
		if len(c.records) == 0 || c.by == s && !s.hub.o.Echo {
			continue
		}
		records := slices.Clone(c.records)
		if fault.number != nil {
			for i := range records {
				fault.number(s, &records[i])
			}
		}
		s.feed.Apply(records)
		clear(records)
	}
	s.read = max(s.read, last)
	if !fault.stuck {
		s.feed.Advance(lastVersion(s.read))
	}
}

// repeat passes a commit again, if the store passes some records twice.
func (s *HubStore) repeat(number uint64) {
	if !s.hub.o.Echo || s.hub.fault.deliver != nil {
		return
	}
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	for _, c := range s.hub.after(number-1, number) {
		if len(c.records) > 0 {
			s.feed.Apply(slices.Clone(c.records))
		}
	}
}

// Commit implements [keyspace.Store].
func (s *HubStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	if n := len(writes); n == 0 || n > keyspace.MaxSharedRun {
		return fmt.Errorf("storetest: a commit of %d writes: the most is %d", n, keyspace.MaxSharedRun)
	}
	outcome := Answered
	if f := s.hub.o.Outcome; f != nil {
		outcome = f()
	}
	if err := s.hub.pause(ctx); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	switch outcome {
	case Lost:
	case Late:
		later := slices.Clone(writes)
		s.running.Go(func() {
			if s.hub.pause(s.ctx) == nil {
				_, _ = s.hub.propose(s, false, later) // nobody gets the answer
			}
		})
	case Unheard:
		_, _ = s.hub.propose(s, false, slices.Clone(writes))
	default:
		newer, err := s.hub.propose(s, true, writes)
		if err != nil && !s.hub.fault.silent {
			s.pass(newer)
			s.repeat(newer)
		}
		_ = s.hub.pause(context.Background()) // the commit is made or refused, even if ctx ends
		return err
	}
	return fmt.Errorf("%w: no answer", keyspace.ErrUnknownOutcome)
}

// Barrier implements [keyspace.SharedStore].
func (s *HubStore) Barrier(ctx context.Context) error {
	if s.hub.fault.noBarrier {
		return nil
	}
	if err := s.hub.pause(ctx); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	s.pass(s.hub.last())
	return nil
}

// ExpiryDelay implements [keyspace.SharedStore].
func (s *HubStore) ExpiryDelay(key string) time.Duration {
	if s.index == s.hub.ownerOf(key) {
		return 0
	}
	return time.Second
}

// Close implements [keyspace.Store].
func (s *HubStore) Close() error {
	s.mailMu.Lock()
	s.receiver, s.mail = nil, nil
	s.end()
	s.mailMu.Unlock()
	s.running.Wait()
	return nil
}
