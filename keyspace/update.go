package keyspace

import (
	"time"

	"rtdb/actor"
)

// A Subscriber receives updates. A session is one. It must be comparable; two equal
// subscribers are one.
type Subscriber interface {
	// Deliver receives each update of the subscribed targets once, even if
	// several subscriptions match. The updates of one key come in the order of
	// their versions, one call at a time; updates of different keys and topics may come at
	// the same time. Deliver must return at once: it must not block, and must not call the
	// keyspace. All subscribers share the update, so it must not be changed.
	Deliver(*Update)
}

// A BundleSubscriber is a Subscriber that takes several updates with one call.
type BundleSubscriber interface {
	Subscriber

	// DeliverBundle is called in place of Deliver for the updates of a [Burst]. The bundle must not
	// be kept. If it panics, it must have taken no update: Deliver is then called for each.
	DeliverBundle(*Bundle)
}

// A Bundle is several updates of keys, in the order of their versions, with the same Crowd. Its
// methods do the work for all subscribers. To ask each update again for each of 1000 subscribers
// took a tenth of a delivery (BenchmarkFanoutOneKey/window=200).
type Bundle struct {
	Updates []*Update
	bytes   [Forms]int // the results of Encode; 0: the form was not asked for
	revised bool
}

// Encode calls Encoded for each update, and returns the length of all results.
func (b *Bundle) Encode(f Form, encode func(*Update) []byte) (bytes int) {
	if b.bytes[f] > 0 {
		return b.bytes[f]
	}
	for _, u := range b.Updates {
		bytes += len(u.Encoded(f, encode))
	}
	b.bytes[f] = bytes
	return bytes
}

// Revise calls Revision for each update.
func (b *Bundle) Revise() {
	if !b.revised {
		for _, u := range b.Updates {
			u.Revision()
		}
		b.revised = true
	}
}

// An Update tells subscribers about one write of a key, or one message that was
// published to a topic. Encoded and Revision may be called only within Deliver,
// DeliverBundle or Start.Each. After that they may be called at any time for what they have
// returned there.
type Update struct {
	Target  Target       // a key or a topic
	Value   []byte       // opaque bytes; nil: the key was deleted
	Version uint64       // of the key; 0 for a topic
	Written int64        // when the value was written, in Unix milliseconds; 0 for a topic
	At      time.Time    // when the write was made; in a snapshot, when the key was read
	Crowd   *actor.Crowd // wakes the subscribers' actors; nil: each of them wakes its own

	// Missed reports that messages of the topic were lost on the way to this keyspace, an
	// unknown number. Value is nil. For the subscribers of a pattern of topics, Target is
	// the pattern.
	Missed bool

	encoded  [Forms][]byte // the results of Encoded
	progress *progress
	run      *run   // nil in a snapshot and for a topic
	revision uint64 // the result of Revision plus 1; 0: it was not asked for
}

// A Form is one of the encodings of an update. The subscribers decide what each
// form is.
type Form uint8

// Forms is the number of forms that an update keeps: 0 to Forms-1.
const Forms = 4

// Encoded returns the update in a form. The first subscriber that asks for the form
// encodes the update. The others share the bytes, which must not be changed.
func (u *Update) Encoded(f Form, encode func(*Update) []byte) []byte {
	if u.encoded[f] == nil {
		u.encoded[f] = encode(u)
	}
	return u.encoded[f]
}

// Text returns what Encoded has returned for the form, nil if it was not called.
func (u *Update) Text(f Form) []byte { return u.encoded[f] }

// Revision returns a revision to resume from. A subscriber that has received this
// update, and everything before it, has missed no write up to that version.
// Revision is 0 for an update of a snapshot. All subscribers get the same one: it stays right,
// even if a later look would find a lower or a higher one. To look for each of them took 7% of a
// stream's CPU, and now the streams share the text of an event (BenchmarkFanoutEvents/window=200).
func (u *Update) Revision() uint64 {
	if u.revision == 0 {
		u.revision = 1 + u.findRevision()
	}
	return u.revision - 1
}

func (u *Update) findRevision() uint64 {
	switch {
	case u.progress == nil:
		return 0
	case u.run == nil:
		return u.progress.revision()
	}
	return u.progress.revisionWithin(u.run, u.Version)
}
