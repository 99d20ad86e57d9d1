package session

import (
	"sync"

	"rtdb/keyspace"
)

// A signal wakes the session's actor: there is something in the outbox, or the
// session has ended.
type signal struct{}

// Deliver queues an update for the client. It never waits.
func (s *Session) Deliver(u *keyspace.Update) {
	s.offered.Add(1)
	s.queue(s.item(u))
}

// catchUp queues what a key holds, for a client that asked for it.
func (s *Session) catchUp(u *keyspace.Update) {
	s.offered.Add(1)
	x := s.item(u)
	x.asked = true
	s.queue(x)
}

func (s *Session) item(u *keyspace.Update) item {
	x := item{message: Message{Update: true}, name: u.Key}
	if u.Topic != "" {
		x.name, x.topic = u.Topic, true
	}
	if s.phase.Load() != open {
		return x
	}
	if s.options.Versions {
		x.message.Text = u.VersionedMessage()
	} else {
		x.message.Text = u.Message()
	}
	if s.options.Revisions {
		x.message.Revision = u.Revision()
	}
	return x
}

// queue puts an item into the outbox, where the session is still open.
func (s *Session) queue(x item) {
	b := &s.box
	b.mu.Lock()
	if s.phase.Load() != open {
		b.mu.Unlock()
		return
	}
	// What waited before counts, so that one value may be longer than what
	// may wait.
	tooMuch := x.topic && b.topics > s.maxPending
	wake := !tooMuch && b.addLocked(x)
	s.watchLagLocked()
	b.mu.Unlock()
	switch {
	case tooMuch:
		s.Abort(ErrTooSlow)
	case wake:
		s.wakeActor()
	}
}

// wakeActor sends a signal. Where the mailbox is full the actor is awake, and
// where it has stopped the session is over.
func (s *Session) wakeActor() { _ = s.out.TrySend(signal{}) }

// Reply queues an answer to the client, behind all updates that were delivered
// before. It waits while half of what may wait does, and returns an error when
// the session has ended.
func (s *Session) Reply(text []byte) error {
	_ = s.waitForRoom() // an error says that the session has ended, which comes out below
	s.queue(item{message: Message{Text: text}, asked: true})
	if s.phase.Load() != open {
		return s.Cause()
	}
	return nil
}

// waitForRoom waits while the client lets too much wait that it asked for, and
// returns an error when the session has ended.
func (s *Session) waitForRoom() error {
	for s.box.throttled(s.maxPending / 2) {
		if s.phase.Load() != open {
			return s.Cause()
		}
		<-s.drained
	}
	if s.phase.Load() != open {
		return s.Cause()
	}
	return nil
}

// wakeReader lets one who waits for room look again.
func (s *Session) wakeReader() {
	select {
	case s.drained <- struct{}{}:
	default:
	}
}

var chunks = sync.Pool{New: func() any { return new([]Message) }}

// handle sends what waits, chunk by chunk, until nothing does.
func (s *Session) handle([]signal) {
	if s.said {
		return
	}
	chunk := chunks.Get().(*[]Message)
	defer chunks.Put(chunk)
	ending := false
	for s.phase.Load() != cut {
		ending = s.ending.Load() // if so, what take finds is the last
		var updates uint64
		var some bool
		if *chunk, updates, some = s.box.take((*chunk)[:0]); !some {
			break
		}
		s.wakeReader()
		err := s.conn.Send(*chunk)
		clear(*chunk)
		if err != nil {
			s.Abort(err)
			break
		}
		s.delivered.Add(updates)
	}
	if s.phase.Load() == cut || ending {
		s.said = true
		s.conn.Close(s.Cause())
	}
}
