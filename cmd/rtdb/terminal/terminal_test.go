package terminal_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"rtdb/cmd/rtdb/terminal"
)

// hostile has characters that a terminal acts upon, or that hide others.
const hostile = "a\x1b[2Jb\u009b31mc\u202ed\u2066e\u200bf\u00a0g\x7fh\U000e0041i\xffj\r\n\t"

func TestVisible(t *testing.T) {
	for given, want := range map[string]string{
		"": "", "plain é 漢 😀 \\u001b": "plain é 漢 😀 \\u001b",
		hostile: `a\u001b[2Jb\u009b31mc\u202ed\u2066e\u200bf\u00a0g\u007fh\udb40\udc41i` + "\ufffd" + `j\u000d\u000a\u0009`,
	} {
		if got := terminal.Visible(given); got != want {
			t.Errorf("Visible(%q) = %q, want %q", given, got, want)
		}
	}
	// JSON text keeps its value.
	const text = "[\"\u009b\u202e\U000e0041é\u007f\"]"
	var before, after []string
	if err := json.Unmarshal([]byte(text), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(terminal.Visible(text)), &after); err != nil || !slices.Equal(before, after) {
		t.Errorf("%q has become %q, %v", before, after, err)
	}
}

func TestFit(t *testing.T) {
	for _, test := range []struct {
		given   string
		columns int
		want    string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abcd", 1, "…"}, {"abcd", 0, ""}, {"abcd", -1, ""}, {"", 0, ""},
		{"漢字", 4, "漢字"}, {"漢字x", 4, "漢…"}, {"漢字", 3, "漢…"}, {"漢", 1, "…"}, {"😀😀", 3, "😀…"},
		{"e\u0301e\u0301e", 2, "e\u0301…"}, {"a\x1b[31m", 6, "a…"}, {"a\x1b[31m", 9, `a\u001b[…`}, {"\x1b", 6, `\u001b`},
		{"x" + strings.Repeat("\u0301", 1000), 2, "x" + strings.Repeat("\u0301", 15) + "…"},
	} {
		got := terminal.Fit(test.given, test.columns)
		if got != test.want || terminal.Columns(got) > max(test.columns, 0) {
			t.Errorf("Fit(%q, %d) = %q, want %q", test.given, test.columns, got, test.want)
		}
		if padded := terminal.Pad(test.given, test.columns); terminal.Columns(padded) != max(test.columns, 0) {
			t.Errorf("Pad(%q, %d) = %q", test.given, test.columns, padded)
		}
	}
}

func FuzzFit(f *testing.F) {
	f.Add(hostile, 10)
	f.Add("漢e\u0301", 2)
	f.Fuzz(func(t *testing.T, s string, columns int) {
		columns %= 300
		got := terminal.Fit(s, columns)
		if terminal.Columns(got) > max(columns, 0) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Fit(%q, %d) = %q", s, columns, got)
		}
	})
}

var noon = time.Date(2027, 3, 4, 12, 0, 0, 0, time.UTC)

// withoutStyles removes the sequences of styles, and shows reverse video as <>.
var withoutStyles = strings.NewReplacer("\x1b[1m", "", "\x1b[2m", "", "\x1b[7m", "<", "\x1b[0m", "")

func show(table *terminal.Table, columns, lines int, now time.Time) string {
	return withoutStyles.Replace(strings.Join(table.Lines(columns, lines, now), "\n"))
}

func TestTable(t *testing.T) {
	table := &terminal.Table{Title: "watch #", Status: "http://localhost:8080"}
	table.Set("b", `{"x":1}`, noon.Add(-time.Hour), noon, false)
	table.Set("a/long name", "2", noon.AddDate(0, 0, -1), noon, false)
	table.Set("c\x1b", `"`+strings.Repeat("y", 50)+`"`, noon.AddDate(-1, 0, 0), noon, false)
	want := func(now time.Time, want string) {
		t.Helper()
		if got := show(table, 40, 10, now); got != want {
			t.Errorf("it shows\n%s\nwant\n%s", got, want)
		}
	}
	want(noon, `watch #
live, 3 keys: http://localhost:8080
TIME      KEY          VALUE
Mar 03    a/long name  2
11:00:00  b            {"x":1}
2026      c\u001b      "yyyyyyyyyyyyyyy…`)

	// A change is highlighted for a moment, and a deleted key stays for a moment.
	now := noon.Add(time.Minute)
	table.Set("b", "3", now, now, true)
	table.Delete("a/long name", now, now)
	table.Delete("none", now, now)
	if table.Len() != 2 || !table.Moving(now) {
		t.Errorf("%d keys, moving %t", table.Len(), table.Moving(now))
	}
	table.Stale = true
	want(now, `watch #
<STALE, 2 keys: http://localhost:8080
TIME      KEY          VALUE
<12:01:00  a/long name  (deleted)
<12:01:00  b            3
2026      c\u001b      "yyyyyyyyyyyyyyy…`)
	table.Set("a/long name", "4", now, now, true) // it comes back
	table.Delete("b", now, now)
	want(now.Add(time.Second), `watch #
<STALE, 2 keys: http://localhost:8080
TIME      KEY          VALUE
12:01:00  a/long name  4
12:01:00  b            (deleted)
2026      c\u001b      "yyyyyyyyyyyyyyy…`)
	want(now.Add(2*time.Second), `watch #
<STALE, 2 keys: http://localhost:8080
TIME      KEY          VALUE
12:01:00  a/long name  4
2026      c\u001b      "yyyyyyyyyyyyyyy…`)
	if table.Moving(now.Add(3 * time.Second)) {
		t.Error("it moves on")
	}
}

func TestTableRecentFirst(t *testing.T) {
	table := &terminal.Table{Recent: true}
	for i := range 5 {
		table.Set(fmt.Sprint("k", i), "1", noon.Add(time.Duration(i)*time.Second), noon, false)
	}
	show(table, 40, 10, noon)
	table.Set("k1", "2", noon.Add(time.Minute), noon, false)
	got := show(table, 40, 6, noon.Add(time.Hour))
	if want := "\nlive, 5 keys\nTIME      KEY  VALUE\n12:01:00  k1   2\n12:00:04  k4   1\nand 3 more keys"; got != want {
		t.Errorf("it shows\n%s\nwant\n%s", got, want)
	}
}

// The table fits each terminal.
func TestTableInAnySize(t *testing.T) {
	table := &terminal.Table{Title: "watch " + hostile, Status: strings.Repeat(hostile, 5)}
	for i := range 30 {
		table.Set(fmt.Sprint("漢字/", hostile, i), strings.Repeat(hostile, i), noon, noon, i%2 == 0)
	}
	table.Set(strings.Repeat("漢", 512/3), strings.Repeat("字", 64<<10), noon, noon, true)
	for _, columns := range []int{0, 1, 2, 7, 8, 9, 12, 20, 40, 81, 130} {
		for _, height := range []int{0, 1, 2, 3, 4, 10, 31, 40} {
			lines := table.Lines(columns, height, noon)
			if len(lines) > height {
				t.Fatalf("%d lines, want %d", len(lines), height)
			}
			for _, line := range lines {
				line = strings.TrimPrefix(withoutStyles.Replace(line), "<")
				if terminal.Columns(line) > columns || strings.ContainsAny(line, "\x1b\r\n\u009b") {
					t.Fatalf("%d columns: %q", columns, line)
				}
			}
		}
	}
}
