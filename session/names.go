package session

import "iter"

// A nameSet is a set of names, none of them empty. Most clients subscribe to one
// key and nothing else, and a map of one is a quarter of a kilobyte.
type nameSet struct {
	one  string // empty: none, or all are in more
	more map[string]struct{}
}

// add reports whether the name was not there before.
func (s *nameSet) add(name string) bool {
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

// remove reports whether the name was there.
func (s *nameSet) remove(name string) bool {
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
