package keyspace

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckPattern returns a *NameError where pattern is none. A pattern is a name
// in which a level may be "+", which stands for any one level, and the last
// may be "#", which stands for any number of levels, none included: "a/#"
// matches "a" too. These are the topic filters of MQTT 3.1.1, section 4.7, but
// for '$', which is nothing special here.
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
		want, morePattern, patternGoesOn := strings.Cut(pattern, "/")
		if want == "#" {
			return true
		}
		level, moreName, nameGoesOn := strings.Cut(name, "/")
		if want != "+" && want != level {
			return false
		}
		switch {
		case !patternGoesOn:
			return !nameGoesOn
		case !nameGoesOn:
			return morePattern == "#"
		}
		pattern, name = morePattern, moreName
	}
}

// literal returns what every name that a valid pattern matches begins with.
func literal(pattern string) string {
	at := strings.IndexAny(pattern, "+#")
	switch {
	case at < 0:
		return pattern
	case pattern[at] == '#':
		return strings.TrimSuffix(pattern[:at], "/") // "a/#" matches "a"
	}
	return pattern[:at]
}

// checkText checks what names, patterns and prefixes have in common.
func checkText(s string) error {
	switch {
	case s == "":
		return &NameError{"it is empty"}
	case len(s) > MaxNameBytes:
		return &NameError{fmt.Sprintf("it is %d bytes long, %d at most are allowed", len(s), MaxNameBytes)}
	case !utf8.ValidString(s):
		return &NameError{"it is not valid UTF-8"}
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f {
			return &NameError{fmt.Sprintf("it has the control character U+%04X", c)}
		}
	}
	return nil
}

func checkLevel(level string) error {
	switch level {
	case "":
		return &NameError{"it has an empty level (a leading, trailing or doubled '/')"}
	case ".", "..":
		return &NameError{fmt.Sprintf("it has a level that is %q", level)}
	}
	return nil
}

// Covers reports whether a valid pattern matches every name that another does.
func Covers(pattern, other string) bool {
	if other == "#" {
		other = "+/#" // every name has a level
	}
	for {
		want, morePattern, patternGoesOn := strings.Cut(pattern, "/")
		if want == "#" {
			return true
		}
		level, moreOther, otherGoesOn := strings.Cut(other, "/")
		if level == "#" || want != "+" && want != level {
			return false
		}
		switch {
		case !patternGoesOn:
			return !otherGoesOn
		case !otherGoesOn:
			return morePattern == "#"
		}
		pattern, other = morePattern, moreOther
	}
}

// CoversPrefix reports whether a valid pattern matches every name that begins
// with a prefix. An empty one is that of all names.
func CoversPrefix(pattern, prefix string) bool {
	rest := prefix[strings.LastIndexByte(prefix, '/')+1:]
	whole := strings.TrimSuffix(prefix, rest)
	// Of a level that is begun there may be any rest, and more levels.
	return Covers(pattern, whole+"+/#")
}
