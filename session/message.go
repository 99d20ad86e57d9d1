package session

import (
	"time"

	"rtdb/keyspace"
)

// A Message is one text for the client.
//
// It takes 24 bytes. With 56, which had the text, the time and the revision in them, a
// delivery took longer: most of its time is spent on waiting for the memory of 1000 sessions
// (BenchmarkFanoutOneKey/window=200).
type Message struct {
	update *keyspace.Update // nil for all but updates and messages of topics; shared with other sessions
	own    *own             // nil for an update that has replaced none

	// Reply reports that it is a reply to a request: no update moves across it. Notice
	// reports that it is a notice of the transport, from Session.Tell. The other messages are
	// updates, and notices of missed messages of a topic.
	Reply, Notice bool

	requested bool          // the client asked for it: a reply, or part of a snapshot
	revised   bool          // the update was asked for its revision
	form      keyspace.Form // of the update's text
}

// own is the part of a message that only this session has.
type own struct {
	text     []byte        // nil: the update's
	oldest   time.Duration // when the oldest update was made that this message stands for, after started
	revision uint64
}

// started is the start of own.oldest. A duration is smaller than a [time.Time].
var started = time.Now()

// newText returns a message that is not an update. It keeps the text.
func newText(text []byte) Message { return Message{own: &own{text: text}} }

// ShortReply is the length of the longest text that a session copies.
const ShortReply = 72

// A shortReply is an own with its text: one object instead of two, of a size that no state and
// few values have. Garbage between values that stay takes their memory until other values come
// there: with an object of 48 bytes and a text of 64, a million keys that were
// written with replies took 1.54 instead of 1.35 of Redis' memory (BenchmarkMillionKeys).
type shortReply struct {
	own
	room [ShortReply]byte
}

// newReply is newText for a text that may be in the caller's memory if it is short.
func newReply(text []byte) Message {
	if len(text) > ShortReply {
		return newText(text)
	}
	r := new(shortReply)
	r.text = append(r.room[:0], text...)
	return Message{own: &r.own}
}

// Text returns the text. It is shared with other sessions, and must not be changed.
func (m *Message) Text() []byte {
	if m.update == nil {
		return m.own.text
	}
	return m.update.Text(m.form)
}

// Revision returns a revision to resume from for a client that has received this message and
// everything before it. It is 0 without Options.Revisions, and for the updates of a snapshot.
func (m *Message) Revision() uint64 {
	switch {
	case m.own != nil:
		return m.own.revision
	case m.revised:
		return m.update.Revision()
	}
	return 0
}

// Alone reports whether the message stands for one update, so that its revision is the
// update's own.
func (m *Message) Alone() bool { return m.own == nil }

// Age returns how long ago the oldest update that the message stands for was
// written. ok is false for other messages.
func (m *Message) Age() (age time.Duration, ok bool) {
	switch {
	case m.update == nil:
		return 0, false
	case m.own != nil:
		return time.Since(started) - m.own.oldest, true
	}
	return time.Since(m.update.At), true
}

// replaceWith puts a newer update of the key in the place of the message's update. The
// older revision stays, because messages that wait behind it may be older than the newer
// one. The older time stays, too: it is the client's lag.
func (m *Message) replaceWith(newer *Message) {
	if m.own == nil {
		m.own = &own{oldest: m.update.At.Sub(started), revision: m.Revision()}
	}
	m.update = newer.update
}

// ofTopic reports whether it is a message that was published to a topic.
func (m *Message) ofTopic() bool {
	return m.update != nil && m.update.Target.Kind == keyspace.KindTopic
}

// conflates reports whether a newer message may replace this one.
func (m *Message) conflates() bool {
	return m.update != nil && m.update.Target.Kind != keyspace.KindTopic
}
