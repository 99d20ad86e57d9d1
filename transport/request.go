package transport

import (
	"errors"
	"strings"
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
	topicPatternMember
	lastMember
	epochMember
	deleteMember
	clientMember
	touchMember
	patchMember
	itemsMember
	levelMember
)

// messageMembers are the members of a WebSocket message.
const messageMembers = idMember | actionMember | keyMember | topicMember | keysMember | topicsMember | patternMember |
	topicPatternMember | valueMember | snapshotMember | sinceMember | epochMember | lastMember | ifVersionMember | ttlMember |
	deleteMember | tokenMember | clientMember

// itemMembers are the members of an item of a batch.
const itemMembers = keyMember | valueMember | patchMember | deleteMember | touchMember | ttlMember | ifVersionMember

// meaningMembers are the members that change the meaning of a request. An action that
// cannot honour one of them refuses it. Other members that an action does not use are
// ignored, because some clients send all members that they know.
const meaningMembers = snapshotMember | sinceMember | lastMember | ifVersionMember | ttlMember | deleteMember

// memberOf returns the member of a name, 0 if there is none.
func memberOf(name []byte) members {
	switch string(name) {
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
	case "topicPattern":
		return topicPatternMember
	case "value":
		return valueMember
	case "snapshot":
		return snapshotMember
	case "since":
		return sinceMember
	case "epoch":
		return epochMember
	case "last":
		return lastMember
	case "ifVersion":
		return ifVersionMember
	case "ttl":
		return ttlMember
	case "delete":
		return deleteMember
	case "token":
		return tokenMember
	case "client":
		return clientMember
	case "touch":
		return touchMember
	case "patch":
		return patchMember
	case "items":
		return itemsMember
	case "level":
		return levelMember
	}
	return 0
}

// String returns the names of the members, for an error message.
func (m members) String() string {
	var names []string
	for _, name := range []string{"snapshot", "since", "last", "ifVersion", "ttl", "delete"} {
		if m&memberOf([]byte(name)) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// A request is one request of a client: a WebSocket message, a body, or an item of a
// batch. If a member comes more than once, the last one counts.
type request struct {
	id           field[[]byte] // as it is sent back
	action       field[string]
	key          field[string]
	topic        field[string]
	keys         field[[]string]
	topics       field[[]string]
	pattern      field[string]
	value        field[[]byte] // as it is kept
	snapshot     field[bool]
	since        field[uint64]
	ifVersion    field[uint64]
	ttl          field[time.Duration]
	token        field[string]
	topicPattern field[string]
	last         field[uint64]
	epoch        field[string]
	delete       field[bool]
	client       field[string]
	touch        field[bool]
	patch        field[[]byte] // as it is sent
	items        field[rawjson.Value]
	level        field[string]

	given members // those that are neither null nor false

	// Of a message; empty, with room for a short id and a short reply. They are not arrays, because
	// the request of a body would then be allocated, and takes about a kilobyte.
	idRoom, replyRoom []byte

	unknown       field[string] // the first member that the request cannot have, and that is not null
	unknownOrNull field[string] // the first member that the request cannot have
}

// parse reads text, a JSON object, into an empty request whose members may be known.
// It reads on after a member that is wrong, so that a reply can carry the id. It
// returns an error only if text is not a JSON object.
func (r *request) parse(text []byte, known members, maxValueBytes int) error {
	return rawjson.ParseObject(text, func(name []byte, v rawjson.Value) error {
		member := memberOf(name) & known
		r.given |= member
		if v.Kind() == rawjson.Null || v.Kind() == rawjson.Bool && !v.IsTrue() {
			r.given &^= member
		}
		switch member {
		case idMember:
			r.id = decodeID(v, r.idRoom)
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
		case topicPatternMember:
			r.topicPattern = decodeName("topicPattern", v)
		case lastMember:
			r.last = decodeVersion("last", v)
		case epochMember:
			r.epoch = decodeString("epoch", v)
		case deleteMember:
			r.delete = decodeBool("delete", v)
		case clientMember:
			r.client = decodeClient(v)
		case touchMember:
			r.touch = decodeBool("touch", v)
		case patchMember:
			if v.Kind() != rawjson.Null {
				r.patch = decodeValue(v, maxValueBytes)
			}
		case itemsMember:
			r.items = field[rawjson.Value]{value: v, present: true}
		case levelMember:
			r.level = decodeString("level", v)
		default:
			if !r.unknownOrNull.present {
				r.unknownOrNull = valid(string(name))
			}
			if !r.unknown.present && v.Kind() != rawjson.Null {
				r.unknown = valid(string(name))
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
	case r.topicPattern.present:
		return []keyspace.Target{keyspace.TopicPattern(r.topicPattern.value)}
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
	return session.Start{
		Snapshot: r.snapshot.value, Last: int(r.last.value),
		Resume: r.since.present, Since: r.since.value, Epoch: r.epoch.value,
	}
}

// withCondition adds the request's ifVersion to a change.
func (r *request) withCondition(c keyspace.Change) keyspace.Change {
	if want := r.ifVersion.value; r.ifVersion.present {
		c.If = func(version uint64) bool { return version == want }
	}
	return c
}
