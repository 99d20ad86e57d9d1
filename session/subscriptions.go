package session

import (
	"iter"
	"slices"

	"rtdb/keyspace"
)

// subscriptions are a set of targets. Most clients subscribe to one key and
// nothing else, and a map of one takes a quarter of a kilobyte.
type subscriptions struct {
	one      keyspace.Target // the only target; its name is "" if the set is empty or more is used
	more     map[keyspace.Target]struct{}
	patterns []string // those of the set
}

// add reports whether the target is new.
func (s *subscriptions) add(t keyspace.Target) bool {
	if s.has(t) {
		return false
	}
	switch {
	case s.more != nil:
		s.more[t] = struct{}{}
	case s.one.Name == "":
		s.one = t
	default:
		s.more = map[keyspace.Target]struct{}{s.one: {}, t: {}}
		s.one = keyspace.Target{}
	}
	if t.Kind == keyspace.KindPattern {
		s.patterns = append(s.patterns, t.Name)
	}
	return true
}

// remove reports whether the target was there.
func (s *subscriptions) remove(t keyspace.Target) bool {
	if !s.has(t) {
		return false
	}
	if s.one == t {
		s.one = keyspace.Target{}
	}
	delete(s.more, t)
	if len(s.more) == 0 {
		s.more = nil
	}
	if t.Kind == keyspace.KindPattern {
		i := slices.Index(s.patterns, t.Name)
		s.patterns = slices.Delete(s.patterns, i, i+1)
	}
	return true
}

func (s *subscriptions) has(t keyspace.Target) bool {
	_, ok := s.more[t]
	return ok || s.one == t
}

func (s *subscriptions) len() int {
	n := len(s.more)
	if s.one.Name != "" {
		n++
	}
	return n
}

func (s *subscriptions) all() iter.Seq[keyspace.Target] {
	return func(yield func(keyspace.Target) bool) {
		if s.one.Name != "" && !yield(s.one) {
			return
		}
		for t := range s.more {
			if !yield(t) {
				return
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
	return s.has(keyspace.Key(key)) || len(s.patterns) > manyPatterns || matchesAny(s.patterns, key)
}

func matchesAny(patterns []string, key string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return keyspace.Matches(p, key) })
}
