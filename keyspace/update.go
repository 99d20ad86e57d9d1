package keyspace

import (
	"strconv"
	"time"
)

// A Subscriber is who gets updates: a session, most often. It must be
// comparable; two equal subscribers are one.
type Subscriber interface {
	// Deliver gets each update of what was subscribed to, one at a time for
	// each name, in the order of their versions, and once also where the
	// name was subscribed to in several ways. It is called by the name's
	// actor, and must return at once: it may neither wait nor call the
	// keyspace. The update is shared by all subscribers and never changes.
	Deliver(*Update)
}

// An Update is one change as subscribers are told of it: of a key, or what was
// published to a topic. Its methods are for Deliver, and for its time only;
// what they return may be kept.
type Update struct {
	Key, Topic string    // one of them is empty
	Value      []byte    // nil: the key was deleted
	Version    uint64    // of the key; 0 for a topic
	At         time.Time // of the write; of the reading, where it says what a key held before

	plain, versioned []byte // messages, once somebody wanted them
	progress         *progress
	run              *run
}

// Message is the update as clients get it, a JSON object. It is encoded once,
// and the same bytes go to every subscriber.
func (u *Update) Message() []byte {
	if u.plain == nil {
		u.plain = append(u.encode(len("}")), '}')
	}
	return u.plain
}

// VersionedMessage is Message, with the version where it is a key's.
func (u *Update) VersionedMessage() []byte {
	if u.Key == "" {
		return u.Message()
	}
	if u.versioned == nil {
		m := append(u.encode(len(`,"version":9007199254740991}`)), `,"version":`...)
		u.versioned = append(strconv.AppendUint(m, u.Version, 10), '}')
	}
	return u.versioned
}

// encode returns the object but for its end, with room for that.
func (u *Update) encode(room int) []byte {
	kind, name := `{"key":`, u.Key
	if u.Topic != "" {
		kind, name = `{"topic":`, u.Topic
	}
	m := make([]byte, 0, len(`{"topic":"","value":null,"deleted":true`)+len(name)+len(u.Value)+room)
	m = append(m, kind...)
	m = AppendString(m, name)
	m = append(m, `,"value":`...)
	if u.Value == nil {
		return append(m, `null,"deleted":true`...)
	}
	return append(m, u.Value...)
}

// Revision is one to resume from for who has been told this update and all
// that was delivered to him before: he has missed no write up to it. It is 0
// for an update that only says what a key held before.
func (u *Update) Revision() uint64 {
	switch {
	case u.progress == nil:
		return 0
	case u.run == nil:
		return u.progress.revision()
	}
	return u.progress.revisionWithin(u.run, u.Version)
}
