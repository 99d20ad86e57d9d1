package transport

import (
	"errors"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/rawjson"
)

// members is a set of the members that requests have: of WebSocket messages, of
// bodies, and of the items of a batch.
type members uint32

const (
	idMember members = 1 << iota
	actionMember
	keyMember
	topicMember
	keysMember
	topicsMember
	patternMember
	valueMember
	snapshotMember
	sinceMember
	ifVersionMember
	ttlMember
	tokenMember
	itemsMember
	levelMember
)

// messageMembers are the members of a WebSocket message.
const messageMembers = idMember | actionMember | keyMember | topicMember | keysMember | topicsMember | patternMember |
	valueMember | snapshotMember | sinceMember | ifVersionMember | ttlMember | tokenMember

// memberOf returns the member of a name, 0 if there is none.
func memberOf(name string) members {
	switch name {
	case "id":
		return idMember
	case "action":
		return actionMember
	case "key":
		return keyMember
	case "topic":
		return topicMember
	case "keys":
		return keysMember
	case "topics":
		return topicsMember
	case "pattern":
		return patternMember
	case "value":
		return valueMember
	case "snapshot":
		return snapshotMember
	case "since":
		return sinceMember
	case "ifVersion":
		return ifVersionMember
	case "ttl":
		return ttlMember
	case "token":
		return tokenMember
	case "items":
		return itemsMember
	case "level":
		return levelMember
	}
	return 0
}

// A request is one request of a client: a WebSocket message, a body, or an item of a
// batch. If a member comes more than once, the last one counts.
type request struct {
	id        field[[]byte] // as it is sent back
	action    field[string]
	key       field[string]
	topic     field[string]
	keys      field[[]string]
	topics    field[[]string]
	pattern   field[string]
	value     field[[]byte] // as it is kept
	snapshot  field[bool]
	since     field[uint64]
	ifVersion field[uint64]
	ttl       field[time.Duration]
	token     field[string]
	items     field[rawjson.Value]
	level     field[string]

	unknown       field[string] // the first member that the request cannot have, and that is not null
	unknownOrNull field[string] // the first member that the request cannot have
}

// parse reads text, a JSON object, into an empty request whose members may be known.
// It reads on after a member that is wrong, so that a reply can carry the id. It
// returns an error only if text is not a JSON object.
func (r *request) parse(text []byte, known members, maxValueBytes int) error {
	return rawjson.ParseObject(text, func(name string, v rawjson.Value) error {
		switch memberOf(name) & known {
		case idMember:
			r.id = decodeID(v)
		case actionMember:
			r.action = decodeString("action", v)
		case keyMember:
			r.key = decodeName("key", v)
		case topicMember:
			r.topic = decodeName("topic", v)
		case keysMember:
			r.keys = decodeNames("keys", v)
		case topicsMember:
			r.topics = decodeNames("topics", v)
		case patternMember:
			r.pattern = decodeName("pattern", v)
		case valueMember:
			r.value = decodeValue(v, maxValueBytes)
		case snapshotMember:
			r.snapshot = decodeBool("snapshot", v)
		case sinceMember:
			r.since = decodeVersion("since", v)
		case ifVersionMember:
			r.ifVersion = decodeVersion("ifVersion", v)
		case ttlMember:
			r.ttl = decodeTTL(v)
		case tokenMember:
			r.token = decodeString("token", v)
		case itemsMember:
			r.items = field[rawjson.Value]{value: v, present: true}
		case levelMember:
			r.level = decodeString("level", v)
		default:
			if !r.unknownOrNull.present {
				r.unknownOrNull = valid(name)
			}
			if !r.unknown.present && v.Kind() != rawjson.Null {
				r.unknown = valid(name)
			}
		}
		return nil
	})
}

// parseMessage reads a WebSocket message into an empty request, and checks it as far as
// that does not depend on the action.
func (r *request) parseMessage(text []byte, maxValueBytes int) error {
	err := r.parse(text, messageMembers, maxValueBytes)
	switch {
	case err != nil && isInValue(err):
		return refuse(codeInvalidValue, "the value is not valid JSON: %v", err)
	case err != nil:
		return refuse(codeInvalidRequest, "the message is not a JSON object: %v", err)
	}
	return r.checkMessage()
}

// checkMessage returns the first fault in a message that does not depend on the action.
func (r *request) checkMessage() error {
	switch err := errors.Join(r.id.err, r.action.err, unknownError(r.unknown), r.key.err, r.topic.err); {
	case err != nil:
		return err
	case r.key.present && r.topic.present:
		return refuse(codeInvalidRequest, "the request has both a key and a topic")
	case !r.action.present:
		return refuse(codeInvalidRequest, "the request has no action")
	}
	return nil
}

// isInValue reports whether a syntax error is in the value that the client wants to
// write, and not in the request around it.
func isInValue(err error) bool {
	var syntax *rawjson.SyntaxError
	return errors.As(err, &syntax) && syntax.Member == "value"
}

// unknownError returns the error of a member that the request cannot have, nil if there is
// no such member.
func unknownError(member field[string]) error {
	if !member.present {
		return nil
	}
	return refuse(codeInvalidRequest, "unknown field %s", quoted(member.value))
}

// The checks of the actions. Each returns the first fault in the members that the action
// uses. Faults in other members do not matter.

func checkNothing(*request) error { return nil }

func checkKey(r *request) error {
	if !r.key.present {
		return refuse(codeInvalidRequest, "%s needs a key", r.action.value)
	}
	return nil
}

func checkValue(r *request) error {
	if !r.value.given() {
		return refuse(codeInvalidRequest, "%s needs a value", r.action.value)
	}
	return r.value.err
}

func checkWrite(r *request) error {
	if err := checkKey(r); err != nil {
		return err
	}
	if err := checkValue(r); err != nil {
		return err
	}
	if r.ifVersion.err != nil {
		return r.ifVersion.err
	}
	return r.ttl.err
}

func checkDelete(r *request) error {
	if err := checkKey(r); err != nil {
		return err
	}
	return r.ifVersion.err
}

func checkPublish(r *request) error {
	switch {
	case r.key.present: // it is a write
		return checkWrite(r)
	case !r.topic.present:
		return refuse(codeInvalidRequest, "publish needs a topic or a key")
	}
	return checkValue(r)
}

func checkWill(r *request) error {
	if !r.key.present && !r.topic.present {
		return refuse(codeInvalidRequest, "will needs a key or a topic")
	}
	return r.value.err
}

func checkToken(r *request) error {
	if !r.token.given() {
		return refuse(codeInvalidRequest, "auth needs a token")
	}
	return r.token.err
}

func checkTargets(r *request) error {
	given := 0
	for _, g := range []bool{r.key.given(), r.topic.given(), r.keys.given(), r.topics.given(), r.pattern.given()} {
		if g {
			given++
		}
	}
	switch given {
	case 0:
		return refuse(codeInvalidRequest, "%s needs a key, a topic, keys, topics or a pattern", r.action.value)
	case 1:
		return errors.Join(r.keys.err, r.topics.err, r.pattern.err)
	}
	return refuse(codeInvalidRequest, "%s takes only one of key, topic, keys, topics and pattern", r.action.value)
}

func checkSubscribe(r *request) error {
	if err := checkTargets(r); err != nil {
		return err
	}
	if r.snapshot.err != nil {
		return r.snapshot.err
	}
	return r.since.err
}

// target returns the key or topic of a request that has one.
func (r *request) target() keyspace.Target {
	if r.topic.present {
		return keyspace.Topic(r.topic.value)
	}
	return keyspace.Key(r.key.value)
}

// targets returns the targets of a subscribe or unsubscribe.
func (r *request) targets() (all []keyspace.Target) {
	switch {
	case r.pattern.present:
		return []keyspace.Target{keyspace.Pattern(r.pattern.value)}
	case r.keys.present:
		for _, key := range r.keys.value {
			all = append(all, keyspace.Key(key))
		}
		return all
	case r.topics.present:
		for _, topic := range r.topics.value {
			all = append(all, keyspace.Topic(topic))
		}
		return all
	}
	return []keyspace.Target{r.target()}
}

// start returns how a subscription begins.
func (r *request) start() session.Start {
	return session.Start{Snapshot: r.snapshot.value, Resume: r.since.present, Since: r.since.value}
}

// withCondition adds the request's ifVersion to a change.
func (r *request) withCondition(c keyspace.Change) keyspace.Change {
	if want := r.ifVersion.value; r.ifVersion.present {
		c.If = func(version uint64) bool { return version == want }
	}
	return c
}
