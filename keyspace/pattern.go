package keyspace

import "strings"

// CheckPattern returns a *NameError if pattern is not a valid pattern. A pattern is
// a name in which a level may be "+", which matches any one level. The last level
// may be "#", which matches any number of levels, including zero: "a/#" matches
// "a", too.
//
// Patterns are the topic filters of MQTT 3.1.1, section 4.7, except that '$' has no
// special meaning.
func CheckPattern(pattern string) error {
	if err := checkText(pattern); err != nil {
		return err
	}
	rest := pattern
	for more := true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return &NameError{"'#' is not the last level of the pattern"}
		case level == "#", level == "+":
			continue
		case strings.ContainsAny(level, "+#"):
			return &NameError{"'+' and '#' must be levels of their own in a pattern"}
		}
		if err := checkLevel(level); err != nil {
			return err
		}
	}
	return nil
}

// Matches reports whether a valid pattern matches a name.
func Matches(pattern, name string) bool {
	for {
		want, patternRest, patternHasMore := strings.Cut(pattern, "/")
		if want == "#" {
			return true
		}
		level, nameRest, nameHasMore := strings.Cut(name, "/")
		if want != "+" && want != level {
			return false
		}
		switch {
		case !patternHasMore:
			return !nameHasMore
		case !nameHasMore:
			return patternRest == "#"
		}
		pattern, name = patternRest, nameRest
	}
}

// literalPrefix returns the part of a valid pattern before its first wildcard. Every
// name that the pattern matches begins with it.
func literalPrefix(pattern string) string {
	i := strings.IndexAny(pattern, "+#")
	switch {
	case i < 0:
		return pattern
	case pattern[i] == '#':
		return strings.TrimSuffix(pattern[:i], "/") // "a/#" matches "a"
	}
	return pattern[:i]
}

// Covers reports whether a valid pattern matches every name that another valid
// pattern matches.
func Covers(pattern, other string) bool {
	if other == "#" {
		other = "+/#" // every name has a level
	}
	for {
		want, patternRest, patternHasMore := strings.Cut(pattern, "/")
		if want == "#" {
			return true
		}
		level, otherRest, otherHasMore := strings.Cut(other, "/")
		if level == "#" || want != "+" && want != level {
			return false
		}
		switch {
		case !patternHasMore:
			return !otherHasMore
		case !otherHasMore:
			return patternRest == "#"
		}
		pattern, other = patternRest, otherRest
	}
}

// CoversPrefix reports whether a valid pattern matches every name that begins with
// a prefix. Every name begins with the empty prefix.
func CoversPrefix(pattern, prefix string) bool {
	// The prefix may end within a level. That level can go on in any way, and
	// more levels can follow.
	begun := prefix[strings.LastIndexByte(prefix, '/')+1:]
	levels := strings.TrimSuffix(prefix, begun)
	return Covers(pattern, levels+"+/#")
}
