package keyspace

// A Subscriber is who gets updates: a session, most often. It must be
// comparable; two equal subscribers are one.
type Subscriber interface {
	// Deliver gets each update of what was subscribed to, one at a time for
	// each name, in the order of their versions. It is called by the name's
	// actor, and must return at once: it may neither wait nor call the
	// keyspace. The update is shared by all subscribers and never changes.
	Deliver(*Update)
}

// An Update is one change as subscribers are told of it: of a key, or what was
// published to a topic.
type Update struct {
	Key, Topic string // one of them is empty
	Value      []byte // nil: the key was deleted
	Version    uint64 // of the key; 0 for a topic

	message []byte
}

// Message is the update as clients get it, a JSON object. It is encoded once,
// and the same bytes go to every subscriber.
func (u *Update) Message() []byte { return u.message }

func newKeyUpdate(w Write) *Update {
	m := make([]byte, 0, len(`{"key":"","value":null,"deleted":true}`)+len(w.Key)+len(w.Value))
	m = append(m, `{"key":`...)
	m = AppendString(m, w.Key)
	m = append(m, `,"value":`...)
	if w.Value == nil {
		m = append(m, `null,"deleted":true}`...)
	} else {
		m = append(m, w.Value...)
		m = append(m, '}')
	}
	return &Update{Key: w.Key, Value: w.Value, Version: w.Version, message: m}
}

func newTopicUpdate(topic string, value []byte) *Update {
	m := make([]byte, 0, len(`{"topic":"","value":}`)+len(topic)+len(value))
	m = append(m, `{"topic":`...)
	m = AppendString(m, topic)
	m = append(m, `,"value":`...)
	m = append(m, value...)
	m = append(m, '}')
	return &Update{Topic: topic, Value: value, message: m}
}
