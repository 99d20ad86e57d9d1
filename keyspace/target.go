package keyspace

// A Kind says what a [Target] names.
type Kind uint8

const (
	KindKey     Kind = iota // one key
	KindTopic               // one topic
	KindPattern             // all keys that match a pattern
)

// A Target names what a subscription, an update or a panic is about: a key, a
// topic, or all keys that match a pattern. It is comparable.
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

// Check returns a *NameError if the name is not valid for the target's kind.
func (t Target) Check() error {
	if t.Kind == KindPattern {
		return CheckPattern(t.Name)
	}
	return CheckName(t.Name)
}
