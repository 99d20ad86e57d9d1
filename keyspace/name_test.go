package keyspace_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"rtdb/keyspace"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{
		"a", "building/3/temp", "ä/ö/日本", "a b", "...", ".a", "a..", "a/.../b", "$sys", "{}", `"\`, "<&>",
		"\u0080\u2028", "%2F", "*", strings.Repeat("x", 512), strings.Repeat("ä", 256),
	} {
		if err := keyspace.CheckName(name); err != nil {
			t.Errorf("%q: %v, want it accepted", name, err)
		}
	}
	for name, reason := range map[string]string{
		"":                       "empty",
		"/":                      "empty level",
		"/a":                     "empty level",
		"a/":                     "empty level",
		"a//b":                   "empty level",
		".":                      `level that is "."`,
		"..":                     `level that is ".."`,
		"a/../b":                 `level that is ".."`,
		"a/.":                    `level that is "."`,
		"a\x00":                  "control character U+0000",
		"a\nb":                   "control character U+000A",
		"\x1f":                   "control character U+001F",
		"\x7f":                   "control character U+007F",
		"a/+":                    "'+'",
		"a#b":                    "'#'",
		"\xff":                   "UTF-8",
		"\xed\xa0\x80":           "UTF-8", // a surrogate
		"\xc0\xaf":               "UTF-8", // an overlong '/'
		strings.Repeat("x", 513): "513 bytes",
		strings.Repeat("ä", 257): "514 bytes",
	} {
		err := keyspace.CheckName(name)
		var nameErr *keyspace.NameError
		if !errors.Is(err, keyspace.ErrInvalidName) || !errors.As(err, &nameErr) || !strings.Contains(nameErr.Reason, reason) {
			t.Errorf("%q: %v, want an invalid name because of %q", name, err, reason)
		}
	}
}

// CheckName agrees with the rules, written one by one.
func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"a", "a/b", "", "/", "a//b", ".", "a/..", "+", "a/#", "\x00", "\xff", "ä", `"\`, "\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		want := len(name) >= 1 && len(name) <= 512 && utf8.ValidString(name) &&
			!strings.ContainsAny(name, "+#\x7f") &&
			!strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 })
		for _, level := range strings.Split(name, "/") {
			want = want && level != "" && level != "." && level != ".."
		}
		if got := keyspace.CheckName(name) == nil; got != want {
			t.Fatalf("CheckName(%q): accepted %v, want %v", name, got, want)
		}
	})
}
