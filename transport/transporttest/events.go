package transporttest

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// CheckEvents compares the lines of a log with the table of events in the operator's
// manual, a Markdown file. It fails if the table lacks an event or one of its fields,
// or has the event at another level. It also fails on a line that contains a token or
// Secret.
func CheckEvents(t testing.TB, manual string, lines []string) {
	t.Helper()
	table := readTable(t, manual)
	for _, line := range lines {
		// A token begins with {" in base64, which is eyJ.
		if strings.Contains(line, "eyJ") || strings.Contains(line, Secret) {
			t.Errorf("a secret in the log: %s", line)
		}
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("a line of the log is not a JSON object: %q", line)
			continue
		}
		message, _ := e["message"].(string)
		row, ok := table[message]
		if !ok {
			t.Errorf("%s: the table has no event %q", manual, message)
			continue
		}
		level, _ := e["level"].(string)
		if !strings.Contains(row.level, level) {
			t.Errorf("%s: the table has %q at %q, and it was at %q", manual, message, row.level, level)
		}
		for field := range e {
			switch field {
			case "message", "level", "time", "node":
			default:
				if !row.fields[field] {
					t.Errorf("%s: the row of %q lacks the field %q", manual, message, field)
				}
			}
		}
	}
}

// A row is an event in the table.
type row struct {
	level  string
	fields map[string]bool
}

var quoted = regexp.MustCompile("`([^`]+)`")

func readTable(t testing.TB, manual string) map[string]row {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Reading the logs\n")
	table := make(map[string]row)
	for line := range strings.Lines(rest) {
		columns := strings.Split(strings.TrimSpace(line), "|")
		if strings.HasPrefix(line, "## ") {
			break
		}
		if len(columns) != 5 || !strings.HasPrefix(columns[1], " `") {
			continue
		}
		r := row{level: columns[2], fields: make(map[string]bool)}
		for _, field := range quoted.FindAllStringSubmatch(columns[3], -1) {
			r.fields[field[1]] = true
		}
		table[quoted.FindStringSubmatch(columns[1])[1]] = r
	}
	if len(table) < 10 {
		t.Fatalf("%s: only %d events found in the table", manual, len(table))
	}
	return table
}
