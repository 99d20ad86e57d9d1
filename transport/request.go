package transport

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"rtdb/keyspace"
	"rtdb/session"
)

// A request is one text message of a client.
type request struct {
	id        field // raw is echoed
	action    field
	key       field
	topic     field
	keys      field
	topics    field
	pattern   field
	value     field // raw is the value as it is kept
	snapshot  field
	since     field
	ifVersion field
	ttl       field
	token     field
	fault     error // that is none of a field: an unknown name
}

// requests are pooled, for one is too large for the stack of a reader, which
// every idle client has.
var requests = sync.Pool{New: func() any { return new(request) }}

// parse reads a message into an empty request. It reads on after what is wrong with one
// field, for the reply to carry the id; only where the text is no JSON object
// does it stop, and returns the error with what it had read by then.
func (r *request) parse(data []byte, maxValueBytes int) error {
	inValue := false
	s := scanner{data: data}
	err := s.document(func(name string) error {
		inValue = name == "value"
		v, err := s.value()
		if err != nil {
			return err
		}
		inValue = false
		switch name {
		case "id":
			r.id = idField(v)
		case "action":
			r.action = stringField("action", v)
		case "key":
			r.key = nameField("key", v)
		case "topic":
			r.topic = nameField("topic", v)
		case "keys":
			r.keys = namesField("keys", v, keyspace.CheckName)
		case "topics":
			r.topics = namesField("topics", v, keyspace.CheckName)
		case "pattern":
			r.pattern = nameField("pattern", v)
		case "value":
			r.value = valueField(v, maxValueBytes)
		case "snapshot":
			r.snapshot = boolField("snapshot", v)
		case "since":
			r.since = versionField("since", v)
		case "ifVersion":
			r.ifVersion = versionField("ifVersion", v)
		case "token":
			r.token = stringField("token", v)
		case "ttl":
			r.ttl = ttlField(v)
		default:
			if r.fault == nil && !v.isNull() { // null is absent
				r.fault = refuse(codeInvalidRequest, "unknown field %s", quoted(name))
			}
		}
		return nil
	})
	switch {
	case err != nil && inValue:
		return refuse(codeInvalidValue, "the value is not valid JSON: %v", err)
	case err != nil:
		return refuse(codeInvalidRequest, "the message is not a JSON object: %v", err)
	}
	return nil
}

// check returns the first thing that is wrong with a request whatever its
// action. What is wrong with the other fields matters only to those who want
// them.
func (r *request) check() error {
	bothNamed := r.key.present && r.topic.present
	switch err := errors.Join(r.id.err, r.action.err, r.fault, r.key.err, r.topic.err); {
	case err != nil:
		return err
	case bothNamed:
		return refuse(codeInvalidRequest, "the request has both a key and a topic")
	case !r.action.present:
		return refuse(codeInvalidRequest, "the request has no action")
	}
	return nil
}

// wantKey returns the key of a request that must have one.
func (r *request) wantKey() (string, error) {
	if !r.key.present {
		return "", refuse(codeInvalidRequest, "%s needs a key", r.action.text)
	}
	return r.key.text, nil
}

// wantValue returns the value of a request that must have one.
func (r *request) wantValue() ([]byte, error) {
	switch {
	case !r.value.present:
		return nil, refuse(codeInvalidRequest, "%s needs a value", r.action.text)
	case r.value.err != nil:
		return nil, r.value.err
	}
	return r.value.raw, nil
}

// wantNames returns what a request subscribes to.
func (r *request) wantNames() (names session.Names, err error) {
	given := 0
	for _, f := range []*field{&r.key, &r.topic, &r.keys, &r.topics, &r.pattern} {
		if f.present || f.err != nil {
			given++
		}
	}
	switch {
	case given == 0:
		return names, refuse(codeInvalidRequest, "%s needs a key, a topic, keys, topics or a pattern", r.action.text)
	case given > 1:
		return names, refuse(codeInvalidRequest, "%s takes only one of key, topic, keys, topics and pattern", r.action.text)
	}
	if err := errors.Join(r.keys.err, r.topics.err, r.pattern.err); err != nil {
		return names, err
	}
	names = session.Names{Keys: r.keys.texts, Topics: r.topics.texts}
	switch {
	case r.key.present:
		names.Keys = []string{r.key.text}
	case r.topic.present:
		names.Topics = []string{r.topic.text}
	case r.pattern.present:
		names.Patterns = []string{r.pattern.text}
	}
	return names, nil
}

// wantStart returns how a subscription is to begin.
func (r *request) wantStart() (session.Start, error) {
	if err := errors.Join(r.snapshot.err, r.since.err); err != nil {
		return session.Start{}, err
	}
	return session.Start{Snapshot: r.snapshot.truth, Resume: r.since.present, Since: r.since.number}, nil
}

// wantChange completes a change by the condition of a request, and by its time
// to live where it has use for one.
func (r *request) wantChange(c keyspace.Change) (keyspace.Change, error) {
	if r.ifVersion.err != nil {
		return c, r.ifVersion.err
	}
	if r.ifVersion.present {
		c.If = atVersion(r.ifVersion.number)
	}
	if !c.Delete {
		c.TTL = r.ttl.ttl
		return c, r.ttl.err
	}
	return c, nil
}

// quoted returns what a client sent for use in a message to it: quoted, and
// not at any length.
func quoted(s string) string {
	const most = 64
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > most {
		cut := most
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		return fmt.Sprintf("%q…", s[:cut])
	}
	return fmt.Sprintf("%q", s)
}
