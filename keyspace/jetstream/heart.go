package jetstream

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"rtdb/keyspace"
)

// A heart has the facts that a node knows about its own beats.
type heart struct {
	mu       sync.Mutex
	instance instance
	number   uint64     // of the beats that were sent
	last     uint64     // the sequence of the instance's last beat
	sent     []sentBeat // the newest beats that have not come back
	heardAt  time.Time  // when the newest beat that came back was sent
	loaded   uint64     // the sequence at which the state was loaded
	digest   *Digest    // of the state, at the newest beat of any node
	trouble  error      // why the stream refuses beats; nil: it does not

	first chan<- uint64 // gets the sequence of the first beat that comes back

	cutOff       error     // why writes are refused; nil: they are not
	cutOffSince  time.Time // when the last beat that came back was sent
	healthyAt    time.Time // when the node was last cut off or loaded
	disagreement error     // how the state differs from the other nodes'
	failure      error     // why the store has ended; nil: it has not
	isForgotten  bool      // the stream has no beat of the instance any more
}

func (h *heart) note(trouble error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble = trouble
}

// refusal returns why writes are refused, nil if they are not.
func (s *Store) refusal() error {
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	reason := s.heart.cutOff
	if s.heart.failure != nil {
		reason = s.heart.failure
	}
	if reason == nil {
		return nil
	}
	if errors.Is(reason, errNoStorage) {
		return fmt.Errorf("%w: %w: %w", keyspace.ErrCutOff, keyspace.ErrInsufficientStorage, reason)
	}
	return fmt.Errorf("%w: %w", keyspace.ErrCutOff, reason)
}

var errLoading = errors.New("the state is being loaded")

// Ready returns nil if the node is ready, and otherwise the reason: the node waits for NATS,
// loads the state, is cut off, or has a state that differs from that of the other nodes.
func (s *Store) Ready() error {
	if err := s.refusal(); err != nil {
		return err
	}
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	switch {
	case s.loaded.Load():
		return s.heart.disagreement
	case s.heart.trouble != nil:
		return s.heart.trouble
	}
	return errLoading
}

// beat sends beats until the store is closed, and checks after each that the node's own beats
// come back.
func (s *Store) beat() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var checkedAt time.Time
	for {
		interval := beatInterval
		if s.refusal() != nil {
			interval = cutOffInterval
		}
		timer.Reset(interval)
		s.sendBeat()
		s.checkHeart()
		switch {
		case s.refusal() == nil:
			s.buryTheDead()
		case time.Since(checkedAt) >= beatInterval:
			s.checkStream()
			checkedAt = time.Now()
		}
		s.checkFeed()
		s.replaceForgotten()
		select {
		case <-timer.C:
		case <-s.lifetime.Done():
			return
		}
	}
}

// checkHeart decides whether the node is cut off.
func (s *Store) checkHeart() {
	if !s.following.Load() {
		s.heart.mu.Lock()
		trouble := s.heart.trouble
		s.heart.mu.Unlock()
		s.tellWaits(trouble)
		return
	}
	now := time.Now()
	s.heart.mu.Lock()
	was, heardAt := s.heart.cutOff, s.heart.heardAt
	var is error
	if now.Sub(heardAt) > cutOffAfter {
		is = s.troubleLocked()
	}
	s.heart.cutOff = is
	if is != nil {
		s.heart.healthyAt = now
	}
	began := s.heart.cutOffSince
	if is != nil && was == nil {
		s.heart.cutOffSince = heardAt
	}
	s.heart.mu.Unlock()
	switch {
	case is != nil && was == nil:
		s.observe(func(o *Observer) {
			if o.CutOff != nil {
				o.CutOff(is, heardAt)
			}
		})
	case is == nil && was != nil:
		s.bus.loseMessages()
		s.tellLoss()
		s.observe(func(o *Observer) {
			if o.CaughtUp != nil {
				o.CaughtUp(now.Sub(began))
			}
		})
	}
}

func (s *Store) troubleLocked() error {
	switch {
	case !s.conn.IsConnected():
		return s.notConnected()
	case s.heart.trouble != nil:
		return s.heart.trouble
	}
	return fmt.Errorf("the stream has carried no beat of this node for %v", cutOffAfter)
}

// buryTheDead declares nodes dead from which no beat has come. A node that was cut off itself
// waits first, because it may not have read their beats yet. So does a node that loads.
func (s *Store) buryTheDead() {
	s.heart.mu.Lock()
	ok := s.following.Load() && time.Since(s.heart.healthyAt) > deadAfter
	by := s.heart.instance
	s.heart.mu.Unlock()
	if !ok {
		return
	}
	for id, p := range s.nodes.silent(deadAfter) {
		b := beat{Node: p.name, Dead: true, By: by.String()}
		if err := s.publishBeat(id, p.last, b, ""); err != nil {
			return
		}
		if time.Since(p.heardAt) < 2*deadAfter {
			continue
		}
		// The stream may have forgotten the beat: then this is the one that is accepted.
		if err := s.publishBeat(id, 0, b, ""); err != nil {
			return
		}
	}
}
