package session

import (
	"time"

	"rtdb/keyspace"
)

// A Message is one text for the client.
type Message struct {
	Text []byte // shared with other sessions: it must not be changed

	// Revision is a revision to resume from for a client that has received this
	// message and everything before it. It is 0 without Options.Revisions, and
	// for the updates of a snapshot.
	Revision uint64

	// Reply reports that it is a reply to a request: no update moves across it. Notice
	// reports that it is a notice of the transport, from Session.Tell. The other messages are
	// updates, and notices of missed messages of a topic.
	Reply, Notice bool

	requested bool             // the client asked for it: a reply, or part of a snapshot
	update    *keyspace.Update // nil for all but updates and messages of topics
	since     time.Duration    // the time of the oldest update that this message replaces, after epoch
}

// epoch is the start of Message.since. A duration is smaller than a [time.Time],
// and does not move when the clock is set.
var epoch = time.Now()

// Age returns how long ago the oldest update that the message stands for was
// written. ok is false for other messages.
func (m *Message) Age() (age time.Duration, ok bool) {
	if m.update == nil {
		return 0, false
	}
	return time.Since(epoch) - m.since, true
}

// ofTopic reports whether it is a message that was published to a topic.
func (m *Message) ofTopic() bool {
	return m.update != nil && m.update.Target.Kind == keyspace.KindTopic
}

// conflates reports whether a newer message may replace this one.
func (m *Message) conflates() bool {
	return m.update != nil && m.update.Target.Kind != keyspace.KindTopic
}
