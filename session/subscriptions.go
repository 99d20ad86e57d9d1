package session

import (
	"iter"
	"slices"

	"rtdb/keyspace"
	"rtdb/keyspace/compact"
)

// subscriptions are a set of targets. Most clients subscribe to one key and nothing else:
// their set is no more than this struct.
type subscriptions struct {
	one  keyspace.Target // the only target; its name is "" if the set is empty, or more is used
	more *nameSets       // nil: use one
}

// nameSets are the names of the targets of each kind.
type nameSets [keyspace.Kinds]compact.Set[string]

func (s *subscriptions) add(t keyspace.Target) (isNew bool) {
	switch {
	case s.more != nil:
		return s.more[t.Kind].Add(t.Name)
	case s.one == t:
		return false
	case s.one.Name == "":
		s.one = t
		return true
	}
	s.more = new(nameSets)
	s.more[s.one.Kind].Add(s.one.Name)
	s.more[t.Kind].Add(t.Name)
	s.one = keyspace.Target{}
	return true
}

// share makes the set hold the string of the target, which it has, in place of its own.
func (s *subscriptions) share(t keyspace.Target) {
	if s.more != nil {
		s.more[t.Kind].Replace(t.Name)
		return
	}
	s.one = t
}

func (s *subscriptions) remove(t keyspace.Target) (wasThere bool) {
	if s.more != nil {
		wasThere = s.more[t.Kind].Remove(t.Name)
		if s.len() == 0 {
			s.more = nil
		}
		return wasThere
	}
	if wasThere = s.one == t; wasThere {
		s.one = keyspace.Target{}
	}
	return wasThere
}

func (s *subscriptions) has(t keyspace.Target) bool {
	if s.more != nil {
		return s.more[t.Kind].Has(t.Name)
	}
	return s.one == t
}

func (s *subscriptions) len() (n int) {
	for kind := range keyspace.Kinds {
		n += len(s.names(kind))
	}
	return n
}

// names returns the names of a kind of target.
func (s *subscriptions) names(kind keyspace.Kind) []string {
	switch {
	case s.more != nil:
		return s.more[kind].All()
	case s.one.Kind == kind && s.one.Name != "":
		return []string{s.one.Name}
	}
	return nil
}

func (s *subscriptions) all() iter.Seq[keyspace.Target] {
	return func(yield func(keyspace.Target) bool) {
		for kind := range keyspace.Kinds {
			for _, name := range s.names(kind) {
				if !yield(keyspace.Target{Kind: kind, Name: name}) {
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
	patterns := s.names(keyspace.KindPattern)
	return len(patterns) > manyPatterns || s.has(keyspace.Key(key)) || matchesAny(patterns, key)
}

// deliversTopic reports whether messages of a topic are delivered because of the
// subscriptions.
func (s *subscriptions) deliversTopic(topic string) bool {
	return s.has(keyspace.Topic(topic)) || matchesAny(s.names(keyspace.KindTopicPattern), topic)
}

// matchesAny reports whether one of the patterns matches a name.
func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return keyspace.Matches(p, name) })
}
