package session

import (
	"strconv"

	"rtdb/keyspace"
)

// A signal wakes the session's actor: there is something in the outbox, or the
// session has ended.
type signal struct{}

// Deliver queues an update for the client. It never waits.
func (s *Session) Deliver(u *keyspace.Update) { s.tell(u, false) }

// catchUp queues what a key holds, for a client that asked for it.
func (s *Session) catchUp(u *keyspace.Update) { s.tell(u, true) }

func (s *Session) tell(u *keyspace.Update, asked bool) {
	if s.phase.Load() != open {
		s.box.mu.Lock()
		s.box.offered++
		s.box.mu.Unlock()
		return
	}
	m := Message{update: u, asked: asked, since: u.At.Sub(epoch)}
	if s.options.Versions {
		m.Text = u.VersionedMessage()
	} else {
		m.Text = u.Message()
	}
	if s.options.Revisions {
		m.Revision = u.Revision()
	}
	s.queue(&m)
}

// answer queues an answer.
func (s *Session) answer(text []byte) { s.queue(&Message{Text: text, Answer: true, asked: true}) }

// Tell queues what the client is told without having asked. It never waits, and
// may be called from any goroutine.
func (s *Session) Tell(text []byte) { s.queue(&Message{Text: text, Answer: true}) }

// queue puts a message into the outbox, where the session is still open.
func (s *Session) queue(m *Message) {
	b := &s.box
	b.mu.Lock()
	if m.update != nil {
		b.offered++
	}
	if s.phase.Load() != open || m.update != nil && m.update.Topic != "" && s.skipLocked(m) {
		b.mu.Unlock()
		return
	}
	b.addLocked(m)
	wake := false
	if m.Answer && b.corked {
		b.owed = true
	} else {
		wake = b.wakeLocked()
	}
	if b.behindLocked() {
		s.watchLagLocked()
	}
	b.mu.Unlock()
	if wake {
		s.wakeActor()
	}
}

// skipLocked drops a message of a topic where too much waits. Before the next
// one that is not dropped it says how many were.
func (s *Session) skipLocked(m *Message) (dropped bool) {
	b := &s.box
	limit := int64(s.options.MaxPendingBytes)
	if s.crowded() {
		limit = min(limit, crowdedPending)
	}
	if b.dropLocked(m, limit) {
		return true
	}
	topic := m.update.Topic
	if n := b.takeMissedLocked(topic); n > 0 {
		b.addLocked(&Message{Text: missed(topic, n), Revision: m.Revision})
	}
	return false
}

// crowdedPending is how much of topics waits for a session where memory is
// short.
const crowdedPending = 16 << 10

func (s *Session) crowded() bool { return s.options.Crowded != nil && s.options.Crowded() }

// missed is what a client is told of messages that it will not get.
func missed(topic string, n uint64) []byte {
	text := keyspace.AppendString([]byte(`{"topic":`), topic)
	text = strconv.AppendUint(append(text, `,"missed":`...), n, 10)
	return append(text, '}')
}

// wakeActor sends a signal. Where the mailbox is full the actor is awake, and
// where it has stopped the session is over.
func (s *Session) wakeActor() { _ = s.out.TrySend(signal{}) }

// Reply queues an answer to the client, behind all updates that were delivered
// before. It waits while half of what may wait does, and returns an error when
// the session has ended.
func (s *Session) Reply(text []byte) error {
	_ = s.waitForRoom() // an error says that the session has ended, which comes out below
	s.answer(text)
	if s.phase.Load() != open {
		return s.Cause()
	}
	return nil
}

// waitForRoom waits while the client lets too much wait that it asked for, and
// returns an error when the session has ended.
func (s *Session) waitForRoom() error {
	for {
		room := s.box.throttled(int64(s.options.MaxPendingBytes) / 2)
		if room == nil {
			break
		}
		if s.phase.Load() != open {
			return s.Cause()
		}
		s.wakeActor() // it may not have been told of what it is to send
		<-room
	}
	if s.phase.Load() != open {
		return s.Cause()
	}
	return nil
}

// wakeReader lets one who waits for room look again.
func (s *Session) wakeReader() {
	s.box.mu.Lock()
	room := s.box.room
	s.box.mu.Unlock()
	select {
	case room <- struct{}{}:
	default:
	}
}

// Cork has answers wait for the Uncork that follows, for a reader that may find
// another request, whose answer can go with the same write. Those that wait
// already go their way, for the next may take long.
func (s *Session) Cork() {
	b := &s.box
	b.mu.Lock()
	b.corked = true
	wake := b.owed && b.wakeLocked()
	b.owed = false
	b.mu.Unlock()
	if wake {
		s.wakeActor()
	}
}

// Uncork sends what has waited since Cork, on the caller's goroutine where that
// can be done without waiting: an answer takes no turn in the pool.
func (s *Session) Uncork() {
	b := &s.box
	b.mu.Lock()
	b.corked = false
	owed := b.owed
	b.owed = false
	b.awake = b.awake || owed
	b.mu.Unlock()
	if owed {
		_ = s.out.TryRun(signal{}) // as wakeActor
	}
}

// handle sends what waits. In the pool it does not wait: that is left to a
// goroutine of the session's own.
func (s *Session) handle([]signal) {
	if s.said {
		return
	}
	mayWait := s.options.Pool == nil || s.detached
	s.detached = false
	if s.left {
		s.left = false
		s.sent(nil, s.rest, true, s.conn.Send(nil))
	}
	ending := false
	for more := true; more && s.phase.Load() != cut; {
		ending = s.ending.Load() // if so, what take finds is the last
		var l load
		l, more = s.box.take()
		if l.wanted {
			s.wakeReader()
		}
		if len(l.messages) == 0 && !l.flush {
			break
		}
		if mayWait {
			s.sent(l.messages, l.updates, true, s.conn.Send(l.messages))
			more = true // what came meanwhile
			continue
		}
		done, err := s.conn.TrySend(l.messages)
		s.sent(l.messages, l.updates, done, err)
		if !done && err == nil {
			s.left, s.rest = true, l.updates
			s.detach()
			return
		}
	}
	if s.phase.Load() != cut && !ending {
		return
	}
	if !mayWait {
		s.detach()
		return
	}
	s.said = true
	s.conn.Close(s.Cause())
}

// detach has handle called again where it may wait.
func (s *Session) detach() {
	s.detached = true
	s.out.Detach()
}

// sent notes what became of messages.
func (s *Session) sent(chunk []Message, updates uint64, done bool, err error) {
	switch {
	case err != nil:
		s.Abort(err)
		s.box.done(chunk, 0, updates)
	case done:
		s.box.done(chunk, updates, 0)
	default:
		s.box.done(chunk, 0, 0)
	}
}
