package client

import "strings"

// A selector is the target of a subscription: a key or a topic, or a pattern of these.
type selector struct {
	topics bool
	name   string
}

// isExact reports whether the selector is one name. The server refuses a malformed pattern.
func (s selector) isExact() bool { return !strings.ContainsAny(s.name, "+#") }

// member returns the name of the member of requests that has the selector.
func (s selector) member() string {
	switch {
	case s.topics && s.isExact():
		return "topic"
	case s.topics:
		return "topicPattern"
	case s.isExact():
		return "key"
	}
	return "pattern"
}

// matches reports whether a name matches the selector.
func (s selector) matches(name string) bool {
	rest := s.name
	for {
		level, more, hasMore := strings.Cut(rest, "/")
		if level == "#" {
			return true
		}
		nameLevel, nameRest, nameHasMore := strings.Cut(name, "/")
		if level != "+" && level != nameLevel {
			return false
		}
		if !nameHasMore {
			return !hasMore || more == "#"
		}
		if !hasMore {
			return false
		}
		rest, name = more, nameRest
	}
}
