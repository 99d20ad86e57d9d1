package keyspace_test

import (
	"strings"
	"testing"

	"rtdb/keyspace"
)

// allNames returns the names of up to so many levels, each one of levels.
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

// Covers and CoversPrefix say what looking at all names would say. "c" and the
// longer names stand for all that patterns do not name.
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
