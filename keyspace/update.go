package keyspace

import "time"

// A Subscriber receives updates. A session is one. It must be comparable; two
// equal subscribers are one.
type Subscriber interface {
	// Deliver receives each update of what was subscribed to, in the order of
	// the versions, and once even if several subscriptions match. The actor of
	// the key or topic calls it, one call at a time. It must return at once: it
	// must not block, and must not call the keyspace. All subscribers share the
	// update, so it must not be changed.
	Deliver(*Update)
}

// An Update tells subscribers of one change: a write of a key, or a message
// that was published to a topic. Its methods may be called only within Deliver;
// what they return may be kept.
type Update struct {
	Target  Target    // a key or a topic
	Value   []byte    // nil: the key was deleted
	Version uint64    // of the key; 0 for a topic
	At      time.Time // when the write was made; in a snapshot, when the key was read

	encoded  [Forms][]byte // what Encoded returned
	progress *progress
	run      *run // nil in a snapshot and for a topic
}

// A Form is one of the ways in which subscribers encode an update. The
// subscribers agree among themselves what each form is.
type Form uint8

// Forms is the number of forms that an update keeps: 0 to Forms-1.
const Forms = 2

// Encoded returns the update in a form. The first subscriber that asks for the
// form encodes it; the others share the bytes, which must not be changed.
func (u *Update) Encoded(f Form, encode func(*Update) []byte) []byte {
	if u.encoded[f] == nil {
		u.encoded[f] = encode(u)
	}
	return u.encoded[f]
}

// Revision returns a revision to resume from for a subscriber that has received
// this update and everything before it: it has missed no write up to that
// version. It is 0 for an update of a snapshot.
func (u *Update) Revision() uint64 {
	switch {
	case u.progress == nil:
		return 0
	case u.run == nil:
		return u.progress.revision()
	}
	return u.progress.revisionWithin(u.run, u.Version)
}
