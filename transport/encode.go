package transport

import (
	"fmt"
	"strconv"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/rawjson"
)

// The forms of an update.
const (
	plainForm keyspace.Form = iota
	versionedForm
	plainEventForm
	versionedEventForm
)

// The encoders of sessions.
var (
	// plainEncoder is for plain clients.
	plainEncoder = &session.Encoder{Form: plainForm, Update: encodePlain, Missed: encodeMissed}

	// versionedEncoder is for clients that speak rtdb.v1: updates of keys have their
	// version, and the time when the value was written.
	versionedEncoder = &session.Encoder{Form: versionedForm, Update: encodeVersioned, Missed: encodeMissed}
)

// newEventEncoder returns the encoder of event streams. Its texts are whole events, of which the
// first line is the id, or empty if it is not known: see eventStream.appendEvent. appendData
// appends the data of an update's event. The text that WebSockets get is not used for it, because
// the update would keep that, too.
func newEventEncoder(form keyspace.Form, appendData func(event []byte, u *keyspace.Update) []byte, epoch func() string) *session.Encoder {
	const rest = "id: .9007199254740991\ndata: \n\n"
	return &session.Encoder{
		Form: form,
		Update: func(u *keyspace.Update) []byte {
			epoch := epoch()
			event := make([]byte, 0, len(rest)+len(epoch)+updateSize(u)+versionSize)
			event = append(appendEventID(event, epoch, u.Revision()), "data: "...)
			return append(appendData(event, u), "\n\n"...)
		},
		Missed: func(topic string, n uint64) []byte {
			return fmt.Appendf(nil, "\ndata: %s\n\n", encodeMissed(topic, n))
		},
	}
}

func encodeMissed(topic string, n uint64) []byte {
	return rawjson.Builder(nil).String("topic", topic).Uint("missed", n).End()
}

// encodeGap returns the notice that an unknown number of messages of a topic was lost.
func encodeGap(t keyspace.Target) []byte {
	kind := "topic"
	if t.Kind == keyspace.KindTopicPattern {
		kind = "topicPattern"
	}
	return rawjson.Builder(nil).String(kind, t.Name).True("missed").End()
}

func encodePlain(u *keyspace.Update) []byte {
	return appendPlain(make([]byte, 0, updateSize(u)), u)
}

func encodeVersioned(u *keyspace.Update) []byte {
	if u.Target.OfTopics() {
		return u.Encoded(plainForm, encodePlain) // shared with plain clients
	}
	return appendVersioned(make([]byte, 0, updateSize(u)+versionSize), u)
}

func appendPlain(m []byte, u *keyspace.Update) []byte {
	if u.Missed {
		return append(m, encodeGap(u.Target)...)
	}
	return append(appendUpdate(m, u), '}')
}

func appendVersioned(m []byte, u *keyspace.Update) []byte {
	if u.Target.OfTopics() {
		return appendPlain(m, u)
	}
	m = append(appendUpdate(m, u), `,"version":`...)
	m = strconv.AppendUint(m, u.Version, 10)
	m = append(m, `,"at":`...)
	return append(strconv.AppendInt(m, u.Written, 10), '}')
}

// versionSize is the length of what appendVersioned appends more than appendPlain.
const versionSize = len(`,"version":9007199254740991,"at":9007199254740991`)

// updateSize returns the space for the plain form of an update, if its name has no escapes.
func updateSize(u *keyspace.Update) int {
	return len(`{"topic":"","value":null,"deleted":true}`) + len(u.Target.Name) + len(u.Value)
}

// appendUpdate appends the object of an update without its end.
func appendUpdate(m []byte, u *keyspace.Update) []byte {
	kind := `{"key":`
	if u.Target.Kind == keyspace.KindTopic {
		kind = `{"topic":`
	}
	m = append(m, kind...)
	m = rawjson.AppendString(m, u.Target.Name)
	m = append(m, `,"value":`...)
	if u.Value == nil {
		return append(m, `null,"deleted":true`...)
	}
	return append(m, u.Value...)
}

// encodeReply returns the beginning of the reply to a request that succeeded.
// Without an id it is empty: such a reply is sent only if it has more to say. A short reply is
// in the request's memory.
func encodeReply(r *request) rawjson.Builder {
	if !r.id.present {
		return nil
	}
	return rawjson.Builder(r.replyRoom).Raw("id", r.id.value).True("ok")
}

// encodeRefusal returns the reply to a request that failed.
func encodeRefusal(r *request, err error) []byte {
	f := explain(err)
	if r.id.present {
		return withFailure(rawjson.Builder(nil).Raw("id", r.id.value), f).End()
	}
	b := withFailure(nil, f)
	if r.action.present {
		b = b.String("action", r.action.value)
	}
	if r.key.present {
		b = b.String("key", r.key.value)
	}
	if r.topic.present {
		b = b.String("topic", r.topic.value)
	}
	return b.End()
}

// withEntry appends a key, its value and its version, the time when the value was
// written, and the seconds until the key expires.
func withEntry(b rawjson.Builder, e keyspace.Entry) rawjson.Builder {
	b = b.String("key", e.Key).Raw("value", e.Value).Uint("version", e.Version).Uint("at", uint64(max(0, e.Written)))
	if e.TTL == 0 {
		return b
	}
	left := (e.TTL + time.Millisecond - 1).Milliseconds()
	return b.Raw("expires_in", strconv.AppendFloat(nil, float64(left)/1000, 'f', -1, 64))
}

// withMark appends the members of the mark between a snapshot and live updates.
func withMark(b rawjson.Builder, m keyspace.Mark) rawjson.Builder {
	b = b.Uint("revision", m.Revision).String("epoch", m.Epoch)
	if m.Reset {
		b = b.True("reset")
	}
	return b
}

// withFailure appends the error that a client gets.
func withFailure(b rawjson.Builder, f *failure) rawjson.Builder {
	e := rawjson.Builder(nil).String("code", f.code).String("message", f.message)
	if f.current != nil {
		e = e.Uint("version", *f.current)
	}
	return b.Raw("error", e.End())
}

// unknownEpoch stands for each epoch that is not the server's: a client that comes with it
// gets everything again.
const unknownEpoch = "-"

// appendEventID appends the id of an event, which parseEventID reads. To clients it is
// opaque.
func appendEventID(text []byte, epoch string, revision uint64) []byte {
	text = append(text, "id: "...)
	if epoch != "" {
		text = append(append(text, epoch...), '.')
	}
	return append(strconv.AppendUint(text, revision, 10), '\n')
}

// encodeStaleness returns the notice for each kind of client that the state may be old since a
// time or, for the zero time, that it is current again.
func encodeStaleness(since time.Time) (notices [clientKinds][]byte) {
	b, action := rawjson.Builder(nil), "fresh"
	if !since.IsZero() {
		action = "stale"
	}
	b = b.String("action", action)
	if !since.IsZero() {
		b = b.Uint("since_ms", uint64(max(0, time.Since(since).Milliseconds())))
	}
	notices[webSocketClient] = b.End()
	notices[eventClient] = fmt.Appendf(nil, "event: %s\ndata: %s\n\n", action, notices[webSocketClient])
	return notices
}
