package terminal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	flashTime   = 700 * time.Millisecond // how long a change is highlighted
	deletedTime = 2 * time.Second        // how long a deleted key stays visible

	// maxShown is the most bytes of a value that a row keeps: more than the widest terminal
	// shows.
	maxShown = 4096
)

// Styles of a terminal's text (ECMA-48).
const (
	bold    = "\x1b[1m"
	dim     = "\x1b[2m"
	reverse = "\x1b[7m"
	plain   = "\x1b[0m"
)

// A Table is a list of keys with their newest values. Its zero value is empty. It is not
// safe for concurrent use.
type Table struct {
	Title  string
	Status string // a line about the connection
	Stale  bool   // the values may be old
	Recent bool   // the newest changes first, in place of the order of the keys

	rows    map[string]*row
	order   []*row
	sorted  bool
	leaving []*row // deleted, still visible
}

type row struct {
	key, value string
	at         time.Time // of the change, by the server's clock
	changed    time.Time // by this machine's clock; zero: not highlighted
	deleted    bool
}

// Set adds a key, or changes its value. flash highlights the row for a moment from now on.
func (t *Table) Set(key, value string, at, now time.Time, flash bool) {
	r := t.rows[key]
	if r == nil {
		r = &row{key: key}
		if t.rows == nil {
			t.rows = make(map[string]*row)
		}
		t.rows[key] = r
		t.order = append(t.order, r)
		t.sorted = false
	}
	r.value, r.at, r.deleted = value[:min(len(value), maxShown)], at, false
	if flash {
		r.changed = now
	}
	t.sorted = t.sorted && !t.Recent
}

// Delete marks a key as deleted. Its row disappears a moment later.
func (t *Table) Delete(key string, at, now time.Time) {
	r := t.rows[key]
	if r == nil || r.deleted {
		return
	}
	r.value, r.at, r.changed, r.deleted = "", at, now, true
	t.leaving = append(t.leaving, r)
	t.sorted = t.sorted && !t.Recent
}

// Len returns the number of keys, without the deleted ones.
func (t *Table) Len() int {
	n := len(t.rows)
	for _, r := range t.leaving {
		if r.deleted {
			n--
		}
	}
	return n
}

// Lines returns the table as it is at a time, as lines that fit a terminal.
func (t *Table) Lines(columns, height int, now time.Time) []string {
	t.forget(now)
	t.sort()
	state := "live"
	if t.Stale {
		state = "STALE"
	}
	status := fmt.Sprintf("%s, %d keys", state, t.Len())
	if t.Status != "" {
		status += ": " + t.Status
	}
	lines := []string{bold + Fit(t.Title, columns) + plain, statusStyle(t.Stale) + Fit(status, columns) + plain}
	shown := t.order
	room := max(height-len(lines)-1, 0) // one line is the heading
	more := ""
	if len(shown) > room {
		room = max(room-1, 0)
		more = fmt.Sprintf("and %d more keys", len(shown)-room)
		shown = shown[:room]
	}
	keys := Columns("KEY")
	for _, r := range shown {
		keys = max(keys, Columns(Fit(r.key, columns/2)))
	}
	lines = append(lines, dim+Fit(fmt.Sprintf("%-8s  %s  VALUE", "TIME", Pad("KEY", keys)), columns)+plain)
	for _, r := range shown {
		lines = append(lines, r.line(keys, columns, now))
	}
	if more != "" {
		lines = append(lines, dim+Fit(more, columns)+plain)
	}
	return lines[:min(len(lines), max(height, 0))]
}

func statusStyle(stale bool) string {
	if stale {
		return reverse
	}
	return dim
}

// line returns the row in a table whose keys take a number of columns.
func (r *row) line(keys, columns int, now time.Time) string {
	value := r.value
	if r.deleted {
		value = "(deleted)"
	}
	const gaps = 2 + 2
	text := Pad(clock(r.at, now), 8) + "  " + Pad(r.key, keys) + "  "
	text += Fit(value, max(columns-8-gaps-keys, 0))
	if Columns(text) > columns { // a very narrow terminal
		text = Fit(text, columns)
	}
	switch {
	case now.Sub(r.changed) < flashTime:
		return reverse + text + plain
	case r.deleted:
		return dim + text + plain
	}
	return text
}

// clock returns the time of a day, or the date if it is not today's.
func clock(at, now time.Time) string {
	at = at.In(now.Location())
	switch {
	case at.IsZero():
		return ""
	case at.YearDay() == now.YearDay() && at.Year() == now.Year():
		return at.Format(time.TimeOnly)
	case at.Year() == now.Year():
		return at.Format("Jan 02")
	}
	return at.Format("2006")
}

// Moving reports whether the lines change by time alone soon after now.
func (t *Table) Moving(now time.Time) bool {
	if len(t.leaving) > 0 {
		return true
	}
	return slices.ContainsFunc(t.order, func(r *row) bool { return now.Sub(r.changed) < 2*flashTime })
}

// forget removes the rows of keys that were deleted a while ago.
func (t *Table) forget(now time.Time) {
	gone := func(r *row) bool { return r.deleted && now.Sub(r.changed) >= deletedTime }
	if !slices.ContainsFunc(t.leaving, func(r *row) bool { return !r.deleted || gone(r) }) {
		return
	}
	t.leaving = slices.DeleteFunc(t.leaving, func(r *row) bool {
		if gone(r) {
			delete(t.rows, r.key)
		}
		return !r.deleted || gone(r) // a key may have come back
	})
	t.order = slices.DeleteFunc(t.order, gone)
}

func (t *Table) sort() {
	if t.sorted {
		return
	}
	slices.SortFunc(t.order, func(a, b *row) int {
		if t.Recent && !a.at.Equal(b.at) {
			return b.at.Compare(a.at)
		}
		return cmp.Compare(a.key, b.key)
	})
	t.sorted = true
}

// frame returns the text that draws lines over those of the last frame.
func frame(lines []string) string {
	var b strings.Builder
	b.WriteString("\x1b[H") // to the first line
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + "\x1b[K") // and nothing behind it
	}
	b.WriteString("\x1b[J") // and nothing below it
	return b.String()
}
