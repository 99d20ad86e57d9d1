package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"rtdb/transport/transporttest"
)

// The files of the manual.
const (
	mainManual     = "../../README.md"
	clientManual   = "../../transport/README.md"
	operatorManual = "README.md"
	nodeManual     = "NODES.md"
)

func readManual(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A block is the text between two fences in a file of the manual.
type block struct {
	kind  string // the word after the opening fence
	lines []string
}

func manualBlocks(t *testing.T, file string) (blocks []block) {
	t.Helper()
	var open *block
	for line := range strings.SplitSeq(readManual(t, file), "\n") {
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

// versions matches versions, which are microseconds of the clock, and epochs, which are
// random. They differ in each run.
var versions = regexp.MustCompile(`\b(1\d{15}|[0-9a-f]{16})\b`)

// moments are the texts that depend on the moment, or are random in each stream.
var moments = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`retry: \d+`), "retry: SOON"},
	{regexp.MustCompile(`"at":\d+`), `"at":NOW`},
	{regexp.MustCompile(`"expires_in":[\d.]+`), `"expires_in":SECONDS`},
	{versions, "VERSION"},
}

func withoutMoments(s string) string {
	for _, m := range moments {
		s = m.pattern.ReplaceAllString(s, m.replacement)
	}
	return s
}

// A tour maps the versions and epochs in a file of the manual to those of the server.
type tour map[string]string

// same reports whether an answer is the one in the manual, apart from versions. It
// learns the server's versions from the answer.
func (known tour) same(got, want string) bool {
	if withoutMoments(got) != withoutMoments(want) {
		return false
	}
	theirs := versions.FindAllString(got, -1)
	for i, ours := range versions.FindAllString(want, -1) {
		known[ours] = theirs[i]
	}
	return true
}

// request returns a request of the manual with the server's versions.
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

// TestTheTour runs the console blocks of the manual, those of each file against a
// server of their own, and compares every answer of curl and of the WebSocket. Then
// it runs the manual's jq commands on the server's log.
func TestTheTour(t *testing.T) {
	transporttest.NeedTool(t, "curl")
	for name, file := range map[string]string{"README.md": mainManual, "transport/README.md": clientManual} {
		t.Run(name, func(t *testing.T) {
			p := start(t, nil)
			socket := takeTour(t, p, file)
			if t.Failed() {
				return
			}
			_ = socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
			p.await("session closed", 1)
			p.stop()
			t.Run("the log", func(t *testing.T) { runLogRecipes(t, p) })
		})
	}
}

// takeTour runs the console blocks of a file, and returns the last WebSocket that it
// opened.
func takeTour(t *testing.T, p *process, file string) (socket *websocket.Conn) {
	addr := strings.TrimPrefix(p.url, "http://")
	answers := 0
	known := tour{}
	for _, b := range manualBlocks(t, file) {
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
				command := known.request(strings.ReplaceAll(rest, "localhost:8080", addr))
				got := shell(t, strings.Replace(command, "curl ", "curl -sS ", 1))
				if !known.same(got, strings.Join(want, "\n")) {
					t.Errorf("%s: %s\ngot  %s\nwant %s", file, rest, got, strings.Join(want, "\n"))
				}
				answers++
			case sign == ">":
				if err := socket.WriteMessage(websocket.TextMessage, []byte(known.request(rest))); err != nil {
					t.Fatal(err)
				}
			case sign == "<":
				_, got, err := socket.ReadMessage()
				if err != nil || !known.same(string(got), rest) {
					t.Errorf("%s: the WebSocket sent %s, %v; want %s", file, got, err, rest)
				}
				answers++
			default:
				t.Errorf("%s: a line in a console block begins with neither $, > nor <: %s", file, line)
			}
		}
	}
	if answers < 10 {
		t.Errorf("%s: only %d answers compared: does the test still find them all?", file, answers)
	}
	return socket
}

// saveReadmePage writes the README's page to index.html in a directory that it makes.
func saveReadmePage(t *testing.T, dir string) {
	t.Helper()
	for _, b := range manualBlocks(t, mainManual) {
		if b.kind != "html" {
			continue
		}
		if len(b.lines) > 15 {
			t.Errorf("%s: the page has %d lines, want at most 15", mainManual, len(b.lines))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(strings.Join(b.lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s has no page", mainManual)
}

// runLogRecipes runs the operator's manual's jq commands on the log of a tour.
func runLogRecipes(t *testing.T, p *process) {
	transporttest.NeedTool(t, "jq")
	dir := t.TempDir()
	log := strings.Join(p.lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "rtdb.log"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	session := p.await("session closed", 1)[0]["session"].(string)
	recipes := 0
	for _, b := range manualBlocks(t, operatorManual) {
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
				t.Errorf("cmd/rtdb/README.md: %s: found nothing in\n%s", line, log)
			}
			recipes++
		}
	}
	if recipes < 4 {
		t.Errorf("cmd/rtdb/README.md: %d recipes found", recipes)
	}
}

// TestTheReadmeNamesEverything compares the table of settings with the program.
func TestTheReadmeNamesEverything(t *testing.T) {
	text := readManual(t, operatorManual)
	help, _, _ := runToEnd(t, nil, "--help")
	for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(help, -1) {
		if flag != "--help" && !strings.Contains(text, "`"+flag+"`") {
			t.Errorf("cmd/rtdb/README.md does not name %s", flag)
		}
	}
	for _, variable := range regexp.MustCompile(`\$[A-Z_]+`).FindAllString(help, -1) {
		if !strings.Contains(text, "`"+variable[1:]+"`") {
			t.Errorf("cmd/rtdb/README.md does not name %s", variable)
		}
	}
}

var (
	markdownLink = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]*)\)`)
	heading      = regexp.MustCompile(`^#+ +(.*)$`)
	codeSpan     = regexp.MustCompile("`[^`]*`")
	notInAnchor  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// prose returns the lines of a file of the manual that are not in a block.
func prose(t *testing.T, file string) (lines []string) {
	t.Helper()
	inBlock := false
	for line := range strings.SplitSeq(readManual(t, file), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inBlock = !inBlock
		} else if !inBlock {
			lines = append(lines, line)
		}
	}
	return lines
}

// anchors returns the anchors that GitHub gives the headings of a file.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, line := range prose(t, file) {
		if m := heading.FindStringSubmatch(line); m != nil {
			text := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
			anchor := strings.ReplaceAll(text, " ", "-")
			if all[anchor] {
				t.Errorf("%s: two headings have the anchor #%s", file, anchor)
			}
			all[anchor] = true
		}
	}
	return all
}

// TestTheLinksOfTheManual fails on a link to a file or a heading that does not exist.
func TestTheLinksOfTheManual(t *testing.T) {
	links := 0
	for _, file := range []string{mainManual, clientManual, operatorManual, nodeManual} {
		for _, line := range prose(t, file) {
			for _, m := range markdownLink.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "code"), -1) {
				links++
				path, anchor, hasAnchor := strings.Cut(m[1], "#")
				target := file
				if strings.HasPrefix(m[1], "https://docs.nats.io/") || strings.HasPrefix(m[1], "https://github.com/nats-io/") {
					continue
				}
				if strings.Contains(path, ":") || strings.HasPrefix(path, "/") {
					t.Errorf("%s: the link %s is not relative", file, m[1])
					continue
				}
				if path != "" {
					target = filepath.Join(filepath.Dir(file), path)
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s: the link %s leads nowhere: %v", file, m[1], err)
				} else if hasAnchor && !anchors(t, target)[anchor] {
					t.Errorf("%s: the link %s leads to a heading that does not exist", file, m[1])
				}
			}
		}
	}
	if links < 30 {
		t.Errorf("only %d links found: does the test still find them all?", links)
	}
}
