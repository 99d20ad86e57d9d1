package keyspace_test

import (
	"errors"
	"strings"
	"testing"

	"rtdb/keyspace"
)

// allNames returns all names of 1 to depth levels that are made of the given levels.
func allNames(depth int, levels ...string) (names []string) {
	last := []string{""}
	for range depth {
		var next []string
		for _, head := range last {
			for _, level := range levels {
				next = append(next, strings.TrimPrefix(head+"/"+level, "/"))
			}
		}
		names = append(names, next...)
		last = next
	}
	return names
}

// Covers and CoversPrefix agree with a search of all names. The level "c" and the longer
// names stand for the names that no pattern names.
func TestCovers(t *testing.T) {
	names := allNames(5, "a", "b", "c", "ab", "bc")
	var patterns []string
	for _, p := range allNames(3, "a", "b", "+", "#") {
		if keyspace.CheckPattern(p) == nil {
			patterns = append(patterns, p)
		}
	}
	within := func(pattern string, other func(name string) bool) bool {
		for _, name := range names {
			if other(name) && !keyspace.Matches(pattern, name) {
				return false
			}
		}
		return true
	}
	for _, p := range patterns {
		for _, other := range patterns {
			want := within(p, func(name string) bool { return keyspace.Matches(other, name) })
			if got := keyspace.Covers(p, other); got != want {
				t.Errorf("Covers(%q, %q) = %v", p, other, got)
			}
		}
		for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "c", "b/a/a"} {
			want := within(p, func(name string) bool { return strings.HasPrefix(name, prefix) })
			if got := keyspace.CoversPrefix(p, prefix); got != want {
				t.Errorf("CoversPrefix(%q, %q) = %v", p, prefix, got)
			}
		}
	}
}

func TestCheckPattern(t *testing.T) {
	for _, good := range []string{
		"a", "a/b", "+", "#", "+/+", "a/+/b", "a/#", "+/#", "a/+/#", "$SYS/#", "ä/+", strings.Repeat("a", 512), " ",
	} {
		if err := keyspace.CheckPattern(good); err != nil {
			t.Errorf("CheckPattern(%q): %v", good, err)
		}
	}
	for bad, reason := range map[string]string{
		"":                       "empty",
		"#/a":                    "not the last level",
		"a/#/b":                  "not the last level",
		"a#":                     "levels of their own",
		"a/b+":                   "levels of their own",
		"++":                     "levels of their own",
		"##":                     "levels of their own",
		"+#":                     "levels of their own",
		"/+":                     "empty level",
		"+/":                     "empty level",
		"a//#":                   "empty level",
		"./+":                    `"."`,
		"+/..":                   `".."`,
		"+\n":                    "U+000A",
		"\xff/+":                 "UTF-8",
		strings.Repeat("a", 513): "513 bytes",
	} {
		err := keyspace.CheckPattern(bad)
		if !errors.Is(err, keyspace.ErrInvalidName) || !strings.Contains(err.Error(), reason) {
			t.Errorf("CheckPattern(%q): %v, want one that says %q", bad, err, reason)
		}
	}
}

// The examples of MQTT 3.1.1, section 4.7. Examples with empty levels are left out,
// because no name has them, and '$' has no special meaning.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player10", false},
		{"sport/#", "sport", true},
		{"#", "sport/tennis", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"+", "sport", true},
		{"+", "sport/tennis", false},
		{"+/tennis/#", "sport/tennis", true},
		{"+/tennis/#", "sport/tennis/a/b", true},
		{"+/tennis/#", "tennis", false},
		{"+/+/#", "a", false},
		{"+/#", "a", true},
		{"#", "$SYS/monitor", true},
		{"+/monitor", "$SYS/monitor", true},
		{"a/b", "a/b", true},
		{"a/b", "a/b/c", false},
		{"a/b", "a", false},
	} {
		if got := keyspace.Matches(c.pattern, c.name); got != c.want {
			t.Errorf("Matches(%q, %q) is %v", c.pattern, c.name, got)
		}
	}
}
