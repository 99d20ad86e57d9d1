package session

import (
	"rtdb/actor"
	"rtdb/keyspace"
)

// A signal wakes the session's actor: the outbox is not empty, or the session's
// phase has changed.
type signal struct{}

// Deliver queues an update for the client. It never blocks.
func (s *Session) Deliver(u *keyspace.Update) { s.queueUpdate(u, false) }

// DeliverBundle queues updates of keys for the client. It never blocks.
func (s *Session) DeliverBundle(b *keyspace.Bundle) {
	if s.life.now() != open {
		s.box.reject(len(b.Updates))
		return
	}
	bytes := b.Encode(s.encoder.Form, s.encoder.Update)
	if s.withRevisions {
		b.Revise()
		if s.life.now() != open { // see queueUpdate
			s.box.reject(len(b.Updates))
			return
		}
	}
	like := Message{form: s.encoder.Form, revised: s.withRevisions}
	wake, behind := s.box.pushUpdates(like, b.Updates, bytes)
	s.wakeFor(wake, behind, b.Updates[0].Crowd)
}

// deliverSnapshot queues an update of a snapshot, which the client asked for.
func (s *Session) deliverSnapshot(u *keyspace.Update) { s.queueUpdate(u, true) }

func (s *Session) queueUpdate(u *keyspace.Update, requested bool) {
	if s.life.now() != open {
		s.box.reject(1)
		return
	}
	if u.Missed {
		s.queueGap(u)
		return
	}
	m := Message{update: u, requested: requested, form: s.encoder.Form}
	u.Encoded(m.form, s.encoder.Update)
	if s.withRevisions {
		u.Revision()
		m.revised = true
		// Another update may have been rejected since the first look, and the
		// revision may cover it: then the client must not receive this revision.
		if s.life.now() != open {
			s.box.reject(1)
			return
		}
	}
	if m.ofTopic() {
		limit := int64(s.options.MaxPendingBytes)
		if s.crowded() {
			limit = min(limit, crowdedPending)
		}
		wake, behind, full := s.box.pushMessage(&m, limit, s.encoder.Missed)
		if full {
			s.Close(ErrTooManyMissed)
		}
		s.wakeFor(wake, behind, u.Crowd)
		return
	}
	wake, behind := s.box.push(&m)
	s.wakeFor(wake, behind, u.Crowd)
}

// queueGap queues the notice that an unknown number of messages of a topic was lost. It is
// never dropped.
func (s *Session) queueGap(u *keyspace.Update) {
	if s.life.now() != open {
		return
	}
	m := newText(u.Encoded(s.encoder.Form, s.encoder.Update))
	if s.withRevisions {
		m.own.revision = u.Revision()
		if s.life.now() != open { // see queueUpdate
			return
		}
	}
	wake, behind := s.box.pushGap(u.Target, &m)
	s.wakeFor(wake, behind, u.Crowd)
}

// crowdedPending is how many bytes of topics' messages may wait while memory is
// short.
const crowdedPending = 16 << 10

// queueReply queues a text that the client asked for. It keeps the text if that is longer than
// ShortReply.
func (s *Session) queueReply(text []byte) {
	m := newReply(text)
	m.Reply, m.requested = true, true
	s.queueText(&m)
}

// Tell queues a notice that the client did not ask for, behind all updates that were
// delivered before. An update that is delivered later may come before it, in place of an
// older one of its key. Tell never blocks.
func (s *Session) Tell(text []byte) {
	m := newText(text)
	m.Notice = true
	s.queueText(&m)
}

func (s *Session) queueText(m *Message) {
	if s.life.now() == open {
		wake, behind := s.box.push(m)
		s.wakeFor(wake, behind, nil)
	}
}

// wakeFor wakes the actor and starts the lag watch, if the outbox asked for that when a
// message was added.
func (s *Session) wakeFor(wake, behind bool, crowd *actor.Crowd) {
	if behind {
		s.lag.watch(behindAge)
	}
	switch {
	case wake && crowd != nil:
		_ = s.out.TrySendCrowd(signal{}, crowd) // see wakeActor
	case wake:
		s.wakeActor()
	}
}

// wakeActor sends a signal. If the mailbox is full the actor is awake, and if the
// actor has stopped the session has ended.
func (s *Session) wakeActor() { _ = s.out.TrySend(signal{}) }

// Reply queues a reply to the client, behind all updates that were delivered
// before. It blocks while too much waits that the client asked for. It returns
// the session's cause if the session is ending. A text of up to ShortReply bytes is copied,
// so the caller may use its memory again; a longer one is kept.
func (s *Session) Reply(text []byte) error {
	_ = s.waitForSpace() // an error says that the session is ending; so does the phase below
	s.queueReply(text)
	if s.life.now() != open {
		return s.Cause()
	}
	return nil
}

// TryReply is Reply if that need not block. Otherwise it reports false.
func (s *Session) TryReply(text []byte) bool {
	if s.box.throttled(int64(s.options.MaxPendingBytes)/2) != nil {
		return false
	}
	s.queueReply(text)
	return true
}

// waitForSpace blocks while too much waits that the client asked for. It returns
// the session's cause if the session is ending, ErrLeft if there is none.
func (s *Session) waitForSpace() error {
	for {
		space := s.box.throttled(int64(s.options.MaxPendingBytes) / 2)
		if s.life.now() != open { // looked at after throttled has made the channel
			if cause := s.Cause(); cause != nil {
				return cause
			}
			return ErrLeft
		}
		if space == nil {
			return nil
		}
		s.wakeActor() // a corked reply has not woken it
		<-space
	}
}

// Flush makes the session's actor call the Conn soon, with or without messages. A
// Conn that has something of its own to send uses it. It does not block.
func (s *Session) Flush() {
	if s.box.flush() {
		s.wakeActor()
	}
}

// Cork holds back replies until Uncork, for a reader that may find another
// request: then one write takes both replies. Replies that were held back before
// are sent now, because the next request may take long.
func (s *Session) Cork() {
	if s.box.cork() {
		s.wakeActor()
	}
}

// Uncork sends the replies that were held back since Cork. It does so on the
// caller's goroutine if that is possible without blocking: a reply does not wait
// for the pool's next round. With it, 50 clients that wait for each reply
// reach 0.94 of the write rate of a mutex and a map (BenchmarkWrites).
func (s *Session) Uncork() {
	switch {
	case !s.box.uncork():
	case s.pooled:
		_ = s.out.TryRun(signal{}) // its errors mean the same as in wakeActor
	default: // the actor may block
		s.wakeActor()
	}
}

// A sender is a Session as the handler of its actor.
type sender Session

func (x *sender) Handle([]signal) { (*Session)(x).sendWaiting() }

// HandlePanic ends the session.
func (x *sender) HandlePanic(p actor.Panic[signal]) {
	s := (*Session)(x)
	if report := s.options.OnPanic; report != nil {
		report(p.Value, p.Stack)
	}
	s.Abort(ErrInternal)
	s.panicked.Go(func() { s.conn.Close(s.Cause()) }) // the pool must not block
}

// sendWaiting sends the messages that wait. In a pool it does not block: if the Conn cannot
// take everything at once, sendWaiting is called again on a goroutine of the session's own.
func (s *Session) sendWaiting() {
	if s.connClosed {
		return
	}
	mayBlock := !s.pooled || s.detached
	s.detached = false
	if s.unsent {
		s.unsent = false
		s.send(nil, s.box.updatesInFlight())
	}
	last := false
	for more := true; more && s.life.now() != ended; {
		last = s.life.now() == closing // no message comes after those that take finds now
		var b batch
		b, more = s.box.take()
		if len(b.messages) == 0 && !b.flush {
			break
		}
		if s.pooled && s.out.Waited() {
			s.out.Gathered(b.span())
		}
		if mayBlock {
			s.send(b.messages, b.updates)
			more = true // messages may have come meanwhile
			continue
		}
		done, err := s.conn.TrySend(b.messages)
		if !done && err == nil {
			s.unsent = true
			s.detach()
			return
		}
		s.finish(b.updates, err)
	}
	if s.life.now() != ended && !last {
		return
	}
	if !mayBlock {
		s.detach()
		return
	}
	s.connClosed = true
	s.conn.Close(s.Cause())
}

// detach makes the actor call sendWaiting again, on a goroutine that may block.
func (s *Session) detach() {
	s.detached = true
	s.out.Detach()
}

// send sends the rest that the Conn has kept, and then the messages. updates counts the
// updates among both. The call of the Conn may block, so the lag watch runs.
func (s *Session) send(messages []Message, updates uint64) {
	s.lag.beginSend()
	err := s.conn.Send(messages)
	s.lag.endSend()
	s.finish(updates, err)
}

// finish ends the flight of a batch, and counts its updates as delivered or, if err is
// not nil, as dropped.
func (s *Session) finish(updates uint64, err error) {
	if err != nil {
		s.Abort(err)
		updates = 0
	}
	s.box.finish(updates)
}
