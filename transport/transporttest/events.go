package transporttest

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Secret is what tests sign tokens with.
const Secret = "a secret that only the tests have, and no one else"

// CheckEvents fails on a line of a log whose event the README's table of events
// does not have, or with a field that stands not in that row. The level is
// compared, too. It also fails on a line with a token, or with the tests' secret.
func CheckEvents(t testing.TB, readme string, lines []string) {
	t.Helper()
	table := readTable(t, readme)
	for _, line := range lines {
		// That is how a token begins: {" in base64.
		if strings.Contains(line, "eyJ") || strings.Contains(line, Secret) {
			t.Errorf("a secret in the log: %s", line)
		}
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("a line of the log is no JSON object: %q", line)
			continue
		}
		message, _ := e["message"].(string)
		row, ok := table[message]
		if !ok {
			t.Errorf("the README's table has no event %q", message)
			continue
		}
		level, _ := e["level"].(string)
		if !strings.Contains(row.level, level) {
			t.Errorf("the README has %q at %q, and it was at %q", message, row.level, level)
		}
		for field := range e {
			switch field {
			case "message", "level", "time":
			default:
				if !row.fields[field] {
					t.Errorf("the README's row of %q lacks %q", message, field)
				}
			}
		}
	}
}

// A row is one of the table.
type row struct {
	level  string
	fields map[string]bool
}

var quoted = regexp.MustCompile("`([^`]+)`")

func readTable(t testing.TB, readme string) map[string]row {
	t.Helper()
	text, err := os.ReadFile(readme)
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
		t.Fatalf("%d events found in the README", len(table))
	}
	return table
}
