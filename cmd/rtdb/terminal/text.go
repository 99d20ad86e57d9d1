package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Visible returns s with an escape of JSON, such as \u001b, in place of each character that
// a terminal does not show as a character: controls, marks of direction, and spaces that
// are not the usual one. So JSON text stays JSON text of the same value. Bytes that are not
// UTF-8 become U+FFFD.
func Visible(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, isHidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteString(visible(r))
	}
	return b.String()
}

// Fit is Visible, cut to a number of columns: if s is longer, its end becomes "…".
func Fit(s string, columns int) string {
	const most = 8 // runes in a column: marks above letters take no column
	var b strings.Builder
	whole := 0 // bytes that leave a column for "…"
	used, runes := 0, 0
	for _, r := range s {
		text := visible(r)
		used += Columns(text)
		if runes++; used > columns || runes > most*columns {
			if columns <= 0 {
				return ""
			}
			return b.String()[:whole] + "…"
		}
		b.WriteString(text)
		if used < columns {
			whole = b.Len()
		}
	}
	return b.String()
}

// Pad returns Fit with spaces at its end, so that it takes all columns.
func Pad(s string, columns int) string {
	s = Fit(s, columns)
	return s + strings.Repeat(" ", max(columns-Columns(s), 0))
}

// Columns returns how many columns of a terminal a visible text takes.
func Columns(s string) (n int) {
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

func isHidden(r rune) bool { return !unicode.IsPrint(r) }

// visible returns r, or its escape.
func visible(r rune) string {
	switch {
	case !isHidden(r):
		return string(r)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// columnsOf returns the columns of a character (Unicode Standard Annex 11).
func columnsOf(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
