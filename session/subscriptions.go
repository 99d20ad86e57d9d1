package session

import (
	"iter"

	"rtdb/keyspace"
)

// subscriptions are a set of targets: a set of names for each kind of target.
type subscriptions [keyspace.Kinds]nameSet

func (s *subscriptions) add(t keyspace.Target) (isNew bool) { return s[t.Kind].add(t.Name) }

func (s *subscriptions) remove(t keyspace.Target) (wasThere bool) { return s[t.Kind].remove(t.Name) }

func (s *subscriptions) has(t keyspace.Target) bool { return s[t.Kind].has(t.Name) }

func (s *subscriptions) len() (n int) {
	for kind := range s {
		n += s[kind].len()
	}
	return n
}

func (s *subscriptions) all() iter.Seq[keyspace.Target] {
	return func(yield func(keyspace.Target) bool) {
		for kind := range s {
			for name := range s[kind].all() {
				if !yield(keyspace.Target{Kind: keyspace.Kind(kind), Name: name}) {
					return
				}
			}
		}
	}
}

// manyPatterns is the number of patterns above which deliversKey does not look at
// each: a read by the key's actor costs less.
const manyPatterns = 16

// deliversKey reports whether updates of a key may be delivered because of the
// subscriptions.
func (s *subscriptions) deliversKey(key string) bool {
	patterns := &s[keyspace.KindPattern]
	if s[keyspace.KindKey].has(key) || patterns.len() > manyPatterns {
		return true
	}
	return patterns.anyMatches(key)
}

// deliversTopic reports whether messages of a topic are delivered because of the
// subscriptions.
func (s *subscriptions) deliversTopic(topic string) bool {
	return s[keyspace.KindTopic].has(topic) || s[keyspace.KindTopicPattern].anyMatches(topic)
}

// A nameSet is a set of names that are not empty. Most clients subscribe to one key and
// nothing else, and a map of one takes a quarter of a kilobyte.
type nameSet struct {
	one  string // the only name; "" if the set is empty or more is used
	more map[string]struct{}
}

func (s *nameSet) add(name string) (isNew bool) {
	switch {
	case s.has(name):
		return false
	case s.more != nil:
		s.more[name] = struct{}{}
	case s.one == "":
		s.one = name
	default:
		s.more = map[string]struct{}{s.one: {}, name: {}}
		s.one = ""
	}
	return true
}

func (s *nameSet) remove(name string) (wasThere bool) {
	if !s.has(name) {
		return false
	}
	if s.one == name {
		s.one = ""
	}
	delete(s.more, name)
	if len(s.more) == 0 {
		s.more = nil
	}
	return true
}

func (s *nameSet) has(name string) bool {
	_, ok := s.more[name]
	return ok || s.one == name
}

// anyMatches reports whether one of the names is a pattern that matches a name.
func (s *nameSet) anyMatches(name string) bool {
	for pattern := range s.all() {
		if keyspace.Matches(pattern, name) {
			return true
		}
	}
	return false
}

func (s *nameSet) len() int {
	n := len(s.more)
	if s.one != "" {
		n++
	}
	return n
}

func (s *nameSet) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		if s.one != "" && !yield(s.one) {
			return
		}
		for name := range s.more {
			if !yield(name) {
				return
			}
		}
	}
}
