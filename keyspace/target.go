package keyspace

// A Kind is the kind of a [Target].
type Kind uint8

const (
	KindKey          Kind = iota // one key
	KindTopic                    // one topic
	KindPattern                  // all keys that match a pattern
	KindTopicPattern             // all topics that match a pattern

	Kinds // their number
)

// A Target is a key, a topic, or all keys or topics that match a pattern. Subscriptions,
// updates and panics have a target. It is comparable.
type Target struct {
	Kind Kind
	Name string // the name of the key or topic, or the pattern
}

// Key returns the target that is one key.
func Key(name string) Target { return Target{KindKey, name} }

// Topic returns the target that is one topic.
func Topic(name string) Target { return Target{KindTopic, name} }

// Pattern returns the target that is all keys that match a pattern.
func Pattern(pattern string) Target { return Target{KindPattern, pattern} }

// TopicPattern returns the target that is all topics that match a pattern.
func TopicPattern(pattern string) Target { return Target{KindTopicPattern, pattern} }

// OfTopics reports whether the target is a topic or a pattern of topics.
func (t Target) OfTopics() bool { return t.Kind == KindTopic || t.Kind == KindTopicPattern }

// Check returns a *NameError if the name is not valid for the target's kind.
func (t Target) Check() error {
	if t.Kind == KindPattern || t.Kind == KindTopicPattern {
		return CheckPattern(t.Name)
	}
	return CheckName(t.Name)
}
