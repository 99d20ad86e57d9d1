package session

import "time"

// LagInterval is the shortest time between two reports of one session's lag.
const LagInterval = 10 * time.Second

// lagDelay is how long a client must be behind to be reported: a burst that it
// takes says nothing.
const lagDelay = 250 * time.Millisecond

// A Lag says how far behind a client is.
type Lag struct {
	PendingKeys  int           // keys and topics of which an update waits; of very many about
	PendingBytes int64         // of updates and replies
	Behind       time.Duration // since the first that waits was written
}

// watchLagLocked has the lag of a session that is behind reported, if there still
// is one by then. Only such a session has a timer.
func (s *Session) watchLagLocked() {
	if s.options.OnLag == nil || s.watching || s.box.updates == 0 {
		return
	}
	s.watching = true
	wait := max(lagDelay, LagInterval-time.Since(s.reported))
	if s.lagTimer == nil {
		s.lagTimer = time.AfterFunc(wait, s.reportLag)
	} else {
		s.lagTimer.Reset(wait)
	}
}

func (s *Session) reportLag() {
	s.box.mu.Lock()
	s.watching = false
	if s.phase.Load() != open || s.box.updates == 0 || !s.box.behindLocked() {
		s.box.mu.Unlock()
		return
	}
	age := s.box.lagLocked()
	if age < lagDelay { // it is behind again: another time
		s.watchLagLocked()
		s.box.mu.Unlock()
		return
	}
	lag := s.box.behindByLocked()
	s.reported = time.Now()
	s.watchLagLocked()
	s.box.mu.Unlock()
	s.options.OnLag(lag)
}

// behindByLocked says how far behind the client is.
func (b *outbox) behindByLocked() Lag {
	return Lag{PendingBytes: b.asked + b.told, Behind: b.lagLocked(), PendingKeys: b.namesLocked()}
}

// manyNames is how many updates are looked at one by one, for keys wait meanwhile
// that have more. What waits of one that is behind is of different keys, most of it.
const manyNames = 4096

// namesLocked counts the keys and topics of which an update waits.
func (b *outbox) namesLocked() int {
	if b.updates == 0 || b.updates > manyNames {
		return b.updates
	}
	names := make(map[string]struct{})
	for i := b.head; i < len(b.items); i++ {
		if u := b.items[i].update; u != nil {
			names[u.Key+u.Topic] = struct{}{} // a key and a topic of one name are rare
		}
	}
	return len(names)
}

func (s *Session) stopLagTimer() {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.watching = true // no other is set
	if s.lagTimer != nil {
		s.lagTimer.Stop()
	}
}
