package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// A block is the text between fences in the README.
type block struct {
	kind  string // behind the opening fence
	lines []string
}

func readmeBlocks(t *testing.T) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for line := range strings.SplitSeq(string(text), "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{kind: kind}
		case fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	return blocks
}

// needTool skips the test where a tool is missing, but not where everything is
// to be checked.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("%s is missing", name)
	}
}

// versions are the clock's microseconds, another time each run.
var versions = regexp.MustCompile(`\b1\d{15}\b`)

// retries are another time each stream.
var retries = regexp.MustCompile(`retry: \d+`)

func withoutVersions(s string) string {
	return retries.ReplaceAllString(versions.ReplaceAllString(s, "VERSION"), "retry: SOON")
}

// A tour knows which of the server's versions stand for those in the README.
type tour map[string]string

// same reports whether an answer is as the README has it, but for versions.
func (known tour) same(got, want string) bool {
	if withoutVersions(got) != withoutVersions(want) {
		return false
	}
	theirs := versions.FindAllString(got, -1)
	for i, ours := range versions.FindAllString(want, -1) {
		known[ours] = theirs[i]
	}
	return true
}

// request returns what stands in the README with the server's versions.
func (known tour) request(s string) string {
	return versions.ReplaceAllStringFunc(s, func(ours string) string { return known[ours] })
}

func shell(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", command).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v: %s", command, err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

// TestTheTour runs the README's tour against a real server, and compares every
// answer: curl's and the WebSocket's.
func TestTheTour(t *testing.T) {
	needTool(t, "curl")
	p := start(t, nil)
	addr := strings.TrimPrefix(p.url, "http://")
	var socket *websocket.Conn
	answers := 0
	known := tour{}
	for _, b := range readmeBlocks(t) {
		if b.kind != "console" {
			continue
		}
		for i := 0; i < len(b.lines); i++ {
			line := b.lines[i]
			sign, rest, _ := strings.Cut(line, " ")
			switch {
			case line == "$ npx wscat -c ws://localhost:8080/ws":
				socket = dial(t, p)
			case sign == "$":
				var want []string
				for i+1 < len(b.lines) && !strings.HasPrefix(b.lines[i+1], "$ ") {
					i++
					want = append(want, b.lines[i])
				}
				got := shell(t, strings.Replace(strings.ReplaceAll(rest, "localhost:8080", addr), "curl ", "curl -sS ", 1))
				if !known.same(got, strings.Join(want, "\n")) {
					t.Errorf("%s\ngot  %s\nwant %s", rest, got, strings.Join(want, "\n"))
				}
				answers++
			case sign == ">":
				if err := socket.WriteMessage(websocket.TextMessage, []byte(known.request(rest))); err != nil {
					t.Fatal(err)
				}
			case sign == "<":
				_, got, err := socket.ReadMessage()
				if err != nil || !known.same(string(got), rest) {
					t.Errorf("the WebSocket said %s, %v; want %s", got, err, rest)
				}
				answers++
			default:
				t.Errorf("what is this line in a console block? %s", line)
			}
		}
	}
	if answers < 15 {
		t.Errorf("only %d answers compared: is the README still read as it is written?", answers)
	}
	if t.Failed() {
		return
	}
	_ = socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
	p.await("session closed", 1)
	p.stop()
	t.Run("the log", func(t *testing.T) { runLogRecipes(t, p) })
}

// runLogRecipes runs the README's jq commands on the log of the tour.
func runLogRecipes(t *testing.T, p *process) {
	needTool(t, "jq")
	dir := t.TempDir()
	log := strings.Join(p.lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "rtdb.log"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	session := p.await("session closed", 1)[0]["session"].(string)
	recipes := 0
	for _, b := range readmeBlocks(t) {
		if b.kind != "jq" {
			continue
		}
		for _, line := range b.lines {
			if strings.HasPrefix(line, "#") {
				continue
			}
			line = regexp.MustCompile(`[0-9a-f]{16}`).ReplaceAllString(line, session)
			out := shell(t, "cd "+dir+" && "+line)
			if out == "" && !strings.Contains(line, "session lagging") { // nobody lagged
				t.Errorf("%s: found nothing in\n%s", line, log)
			}
			recipes++
		}
	}
	if recipes < 4 {
		t.Errorf("%d recipes found", recipes)
	}
}

// TestTheReadmeNamesEverything compares the README's tables with the program.
func TestTheReadmeNamesEverything(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help, _, _ := runToEnd(t, nil, "--help")
	for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(help, -1) {
		if flag != "--help" && !strings.Contains(string(text), "`"+flag+"`") {
			t.Errorf("the README does not name %s", flag)
		}
	}
	for _, variable := range regexp.MustCompile(`\$[A-Z_]+`).FindAllString(help, -1) {
		if !strings.Contains(string(text), "`"+variable[1:]+"`") {
			t.Errorf("the README does not name %s", variable)
		}
	}
}
