package shellwords_test

import (
	"slices"
	"testing"

	"rtdb/cmd/rtdb/shellwords"
)

// breaks are the COMP_WORDBREAKS of bash.
const breaks = " \t\n\"'@><=;|&(:"

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                    {""},
		"rtdb":                {"rtdb"},
		"rtdb ":               {"rtdb", ""},
		"rtdb  get\ta b":      {"rtdb", "get", "a", "b"},
		`rtdb 'a b' "c d" e\`: {"rtdb", "a b", "c d", "e"},
		`rtdb a\ b:c 'd e`:    {"rtdb", "a b:c", "d e"},
		`rtdb "a\"b\c\\" ''`:  {"rtdb", `a"b\c\`, ""},
		`rtdb 'a\' x`:         {"rtdb", `a\`, "x"},
		"rtdb list >f":        {"rtdb", "list", ">", "f"},
		"rtdb list > ":        {"rtdb", "list", ">", ""},
		"rtdb é漢 ":            {"rtdb", "é漢", ""},
	} {
		var got []string
		for _, w := range shellwords.Split(line, breaks) {
			got = append(got, w.Text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		line, full string
		final      bool
		want       string
	}{
		{"rtdb ge", "get", true, "get "},
		{"rtdb get ", "a/", false, "a/"},
		{"rtdb get ", "a b", true, `a\ b `},
		{`rtdb get a\ `, "a b", true, `a\ b `},
		{"rtdb get a:", "a:b c", true, `b\ c `}, // bash replaces the text behind the colon
		{`rtdb get a\:`, "a:b", true, "a:b "},
		{"rtdb get x=1:y", "x=1:yz", true, "yz "},
		{"rtdb get 'a:b ", "a:b c", true, "a:b c"}, // and all behind an open quote
		{"rtdb get x:'a ", "x:a 'b", true, `a '\''b`},
		{`rtdb get "a`, "a$`\"\\b", false, "a\\$\\`\\\"\\\\b"},
		{"rtdb get 'a b':c", "a b:cd", true, "cd "},
		{"rtdb get 'a'b", "abc", true, "abc "},
		{"rtdb watch ", "#", true, `\# `},
		{"rtdb watch a/", "a/#", true, "a/# "},
		{"rtdb watch a:", "a:#", true, "# "},
		{"rtdb get ", "$(x);~*é漢&", true, `\$\(x\)\;\~\*é漢\& `},
	} {
		words := shellwords.Split(test.line, breaks)
		if got := words[len(words)-1].Complete(test.full, test.final); got != test.want {
			t.Errorf("%q to %q: %q, want %q", test.line, test.full, got, test.want)
		}
	}
}

func FuzzComplete(f *testing.F) {
	f.Add("rtdb get a:'b c", "d")
	f.Add(`rtdb "a\`, "\\'")
	f.Fuzz(func(t *testing.T, line, more string) {
		words := shellwords.Split(line, breaks)
		w := words[len(words)-1]
		w.Complete(w.Text+more, true) // does not panic
	})
}
