package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rtdb/transport/transporttest"
)

// A typist types into a real shell, on a terminal.
type typist struct {
	t        *testing.T
	terminal *os.File
	shown    *bufio.Reader
	number   int // of the lines
}

// newTypist starts a shell that has loaded the completion. rtdb is the tested program, and
// the server is at the URL.
func newTypist(t *testing.T, shell, url string) *typist {
	t.Helper()
	transporttest.NeedTool(t, shell)
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "rtdb")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "some file.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	terminal, console := openTerminal(t)
	args := map[string][]string{"bash": {"--norc", "--noprofile", "-i"}, "zsh": {"-f", "-i"}}[shell]
	c := exec.Command(shell, args...)
	c.Dir = dir
	c.Env = []string{
		runAsRTDB + "=1", "PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "TERM=xterm", "LC_ALL=C.UTF-8",
		"GOCOVERDIR=" + os.TempDir(), "RTDB_URL=" + url, "RTDB_COMPLETION_TIMEOUT=20s", "PS1=", "PROMPT=",
	}
	controlledBy(console)(c)
	c.Stdout, c.Stderr = console, console
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = console.Close()
	p := &typist{t: t, terminal: terminal, shown: bufio.NewReader(terminal)}
	t.Cleanup(func() {
		_ = terminal.Close()
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	if shell == "zsh" {
		p.run("bindkey -e; autoload -U compinit; compinit -u -D; setopt noautolist nolistbeep")
	} else {
		p.run("bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; stty columns 500")
	}
	p.run("source <(rtdb completion " + shell + ")")
	return p
}

func (p *typist) write(keys string) {
	p.t.Helper()
	if _, err := p.terminal.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// run runs a line and returns the output before a mark that only its execution prints.
func (p *typist) run(line string) string {
	p.t.Helper()
	p.number++
	_ = p.terminal.SetReadDeadline(time.Now().Add(patience))
	p.write(line + fmt.Sprintf("; printf '\\n=%%s=\\n' done%d\r", p.number))
	text := ""
	for mark := fmt.Sprintf("=done%d=", p.number); !strings.Contains(text, mark); {
		more, err := p.shown.ReadString('\n')
		if text += more; err != nil {
			p.t.Fatalf("%v after %q", err, text)
		}
	}
	return text
}

// complete types the beginning of a command and a tab, and returns the words that the shell
// makes of the line.
func (p *typist) complete(typed string) string {
	p.t.Helper()
	const home = "\x01" // Ctrl-A
	p.write(typed + "\t" + home + `printf '<%s>' `)
	text := p.run("\x05")                // Ctrl-E
	_, text, _ = strings.Cut(text, "\n") // the echo of the line
	for line := range strings.Lines(text) {
		if strings.Contains(line, "<rtdb>") {
			return strings.TrimSpace(line[strings.Index(line, "<rtdb>"):])
		}
	}
	return text
}

func TestCompletionInShells(t *testing.T) {
	p := start(t, nil)
	for _, key := range []string{"devices/1/temp", "devices/2/temp", "my%20key:1/x%20y", "my%20key:1/z", "quo'te", "solo", "%24(x)%60;", "wide/漢"} {
		p.call("PUT", "/data/"+key, `{"value":1}`)
	}
	for _, shell := range []string{"bash", "zsh"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			s := newTypist(t, shell, p.url)
			for _, test := range [][2]string{
				{"rtdb ge", "<rtdb><get>"},
				{"rtdb get --jso", "<rtdb><get><--json>"},
				{"rtdb get dev", "<rtdb><get><devices/>"},
				{"rtdb get devices/1", "<rtdb><get><devices/1/>"},
				{"rtdb get devices/1/", "<rtdb><get><devices/1/temp>"},
				{"rtdb get so", "<rtdb><get><solo>"},
				{"rtdb get solo so", "<rtdb><get><solo><solo>"},
				{`rtdb get my`, "<rtdb><get><my key:1/>"},
				{`rtdb get my\ key`, "<rtdb><get><my key:1/>"},
				{`rtdb get my\ key:`, "<rtdb><get><my key:1/>"},
				{`rtdb get my\ key:1/x`, "<rtdb><get><my key:1/x y>"},
				{`rtdb get 'my key:1/x`, "<rtdb><get><my key:1/x y>"},
				{`rtdb get "my key:1/x`, "<rtdb><get><my key:1/x y>"},
				{`rtdb get quo`, "<rtdb><get><quo'te>"},
				{`rtdb get '$`, "<rtdb><get><$(x)`;>"},
				{`rtdb get \$`, "<rtdb><get><$(x)`;>"},
				{`rtdb get wide/`, "<rtdb><get><wide/漢>"},
				{"rtdb watch devices/+/t", "<rtdb><watch><devices/+/temp>"},
				{"rtdb delete --pattern devices/1/t", "<rtdb><delete><--pattern><devices/1/temp>"},
				{"rtdb get --url http://localhost:1 so", "<rtdb><get><--url><http://localhost:1><so>"},
				{"rtdb import --from some", "<rtdb><import><--from><some file.jsonl>"},
				{"rtdb completion b", "<rtdb><completion><bash>"},
				{"rtdb set solo so", "<rtdb><set><solo><so>"},
				{"rtdb nonsense so", "<rtdb><nonsense><so>"},
				{"rtdb get --nonsense", "<rtdb><get><--nonsense>"},
			} {
				if got := s.complete(test[0]); got != test[1] {
					t.Errorf("%s: %s, want %s", test[0], got, test[1])
				}
			}
		})
	}
}
