package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A session is a command on a terminal of its own.
type session struct {
	t        *testing.T
	terminal *os.File
	cmd      *exec.Cmd

	mu    sync.Mutex
	shown bytes.Buffer // all that the terminal got
	grown chan struct{}
	ended chan struct{}
}

// startOnTerminal starts a command on a terminal of a size.
func startOnTerminal(t *testing.T, columns, lines uint16, args ...string) *session {
	t.Helper()
	terminal, console := openTerminal(t)
	s := &session{t: t, terminal: terminal, cmd: command([]string{"TZ=UTC"}, args...), grown: make(chan struct{}, 1), ended: make(chan struct{})}
	s.resize(columns, lines)
	controlledBy(console)(s.cmd)
	s.cmd.Stdout, s.cmd.Stderr = console, console
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = console.Close()
	go s.read()
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait(); _ = terminal.Close(); <-s.ended })
	return s
}

func (s *session) read() {
	defer close(s.ended)
	b := make([]byte, 4096)
	for {
		n, err := s.terminal.Read(b)
		s.mu.Lock()
		s.shown.Write(b[:n])
		s.mu.Unlock()
		select {
		case s.grown <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *session) resize(columns, lines uint16) {
	s.t.Helper()
	raw, err := s.terminal.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines})
	})
	if err != nil || set != nil {
		s.t.Fatal(err, set)
	}
}

// text returns all that the terminal got.
func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// picture returns the last picture of a table, line by line, without its styles.
func (s *session) picture() []string {
	text := s.text()
	text, _, _ = strings.Cut(text[max(strings.LastIndex(text, "\x1b[H"), 0):], "\x1b[J")
	text = strings.NewReplacer("\x1b[H", "", "\x1b[K", "", "\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[7m", "!").Replace(text)
	return strings.Split(text, "\r\r\n") // the terminal adds a \r
}

// await waits until is reports true.
func (s *session) await(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.After(patience); !is(); {
		select {
		case <-s.grown:
		case <-time.After(20 * time.Millisecond): // for what the terminal does not show
		case <-deadline:
			s.t.Fatalf("%s: never; the terminal shows\n%q", what, s.picture())
		}
	}
}

// awaitPicture waits for a picture with these lines among its lines.
func (s *session) awaitPicture(lines ...string) {
	s.t.Helper()
	s.await(strings.Join(lines, "\n"), func() bool {
		picture := s.picture()
		for _, line := range lines {
			if !slices.ContainsFunc(picture, func(l string) bool { return strings.HasSuffix(l, line) }) {
				return false
			}
		}
		return true
	})
}

func (s *session) wait(status int) (text string) {
	s.t.Helper()
	kill := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	_ = s.cmd.Wait()
	<-s.ended // Linux: a read fails when no process has the console any more
	if got := s.cmd.ProcessState.ExitCode(); got != status {
		s.t.Errorf("exit %d, want %d, after %q", got, status, s.text())
	}
	return strings.ReplaceAll(s.text(), "\r\n", "\n")
}

func (s *session) write(keys string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// hostileKey and hostileValue would change a terminal, and hide the text behind them.
const (
	hostileKey   = "k\u009b2J\u202e"
	hostileValue = "\"\u009b31m\u2066\x7f\""
)

// How a table takes the terminal and gives it back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func TestWatchTable(t *testing.T) {
	t.Parallel()
	server := transporttest.NewServer(t, transport.Options{})
	proxy := transporttest.NewProxy(t, server.Addr)
	run := func(args ...string) {
		t.Helper()
		if _, errs, status := runToEnd(t, []string{"RTDB_URL=" + server.URL()}, args...); status != 0 {
			t.Fatal(errs)
		}
	}
	run("set", "a/1", `"one"`)
	run("set", hostileKey, hostileValue)
	s := startOnTerminal(t, 60, 12, "watch", "a/#", "#", "--table", "--url", proxy.URL())
	s.awaitPicture("rtdb watch a/# #", "live, 2 keys: "+proxy.URL(), `TIME      KEY              VALUE`,
		`  a/1              "one"`, `  k\u009b2J\u202e  "\u009b31m\u2066\u007f"`)
	if !strings.HasPrefix(s.text(), enterScreen) {
		t.Errorf("it begins with %.40q", s.text())
	}

	// A change is highlighted for a moment. A deleted key disappears.
	run("set", "a/1", `"two"`)
	s.awaitPicture(`  a/1              "two"`)
	highlighted := regexp.MustCompile(`\x1b\[7m\d\d:\d\d:\d\d  a/1  `)
	s.await("highlighted", func() bool { return highlighted.MatchString(s.text()) })
	s.await("no longer highlighted", func() bool { return !strings.Contains(strings.Join(s.picture(), "\n"), "!") })
	run("delete", "--", hostileKey)
	s.awaitPicture(`k\u009b2J\u202e  (deleted)`)
	s.awaitPicture("live, 1 keys: "+proxy.URL(), `TIME      KEY  VALUE`, `a/1  "two"`)

	// It follows the size of the terminal.
	for _, key := range []string{"b", "c", "d", "e"} {
		run("set", key, `"`+strings.Repeat("x", 100)+`"`)
	}
	s.resize(30, 6)
	s.awaitPicture(`a/1  "two"`, `b    "xxxxxxxxxxxxx…`, "and 3 more keys")
	s.await("shorter lines", func() bool { return len(s.picture()) == 6 })

	// It says that it is stale without a connection, and goes on.
	s.resize(100, 12)
	proxy.Refuse(true)
	proxy.Cut()
	s.await("stale", func() bool {
		return len(s.picture()) > 1 && strings.HasPrefix(s.picture()[1], "!STALE, 5 keys: no connection: ")
	})
	run("set", "a/1", "3")
	proxy.Refuse(false)
	s.awaitPicture("live, 5 keys: "+proxy.URL(), "a/1  3")

	// A suspended job gives the terminal back, and takes it again.
	s.write("\x1a") // Ctrl-Z
	s.await("suspended", func() bool { return strings.HasSuffix(s.text(), leaveScreen) })
	s.await("stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	run("set", "a/1", "4")
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.awaitPicture("live, 5 keys: "+proxy.URL(), "a/1  4")
	if text := s.text(); !strings.Contains(text, leaveScreen+enterScreen) {
		t.Errorf("after Ctrl-Z it shows %q", text[strings.Index(text, "\x1b[?1049l"):])
	}

	s.write("\x03") // Ctrl-C
	if text := s.wait(exitOK); !strings.HasSuffix(text, leaveScreen) {
		t.Errorf("it ends with %.80q", text[max(len(text)-80, 0):])
	}
}

// An error, and a signal, give the terminal back as well.
func TestWatchTableGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	s := startOnTerminal(t, 60, 12, "watch", "a#", "--table", "--url", p.url)
	if text := s.wait(exitFailure); !strings.Contains(text, "\x1b[?1049lrtdb: not a valid name: '+' and '#' must be levels of their own in a pattern") {
		t.Errorf("it shows %q", text)
	}
	s = startOnTerminal(t, 60, 12, "watch", "a", "--table", "--url", "http://127.0.0.1:1")
	s.await("no connection", func() bool { return strings.Contains(s.text(), "STALE, 0 keys: no connection: cannot reach") })
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if text := s.wait(exitOK); !strings.HasSuffix(text, "\x1b[?1049l") {
		t.Errorf("it ends with %.80q", text[max(len(text)-80, 0):])
	}
}

// On a terminal, the characters that clients have written are visible and do nothing.
func TestHostileTextOnATerminal(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	for _, args := range [][]string{{"set", hostileKey, hostileValue, "--ttl", "1h0m40s"}, {"set", "b", `"` + strings.Repeat("漢", 100) + `"`}, {"set", "a/b", "1"}} {
		if _, errs, status := runToEnd(t, []string{"RTDB_URL=" + p.url}, args...); status != 0 {
			t.Fatal(errs)
		}
	}
	const shownKey, shownValue = `k\u009b2J\u202e`, `"\u009b31m\u2066\u007f"`
	for _, test := range []struct {
		args   []string
		status int
		want   []string
	}{
		{[]string{"get", hostileKey}, 0, []string{shownValue + "\n"}},
		{[]string{"get", hostileKey, "--json"}, 0, []string{`{"key":"` + shownKey + `","value":` + shownValue}},
		{[]string{"get", "no" + hostileKey}, 1, []string{`rtdb: get: there is no key "nok\u009b2J\u202e"` + "\n"}},
		{[]string{"list"}, 0, []string{"KEY              WRITTEN              EXPIRES     VALUE\na/b    ", "  " + `"漢漢漢`, "…\n" + shownKey + "  20", "in 1h0m", "s  " + shownValue + "\n"}},
		{[]string{"list", "--level"}, 0, []string{"a/                                                1 keys\n"}},
		{[]string{"list", "--keys"}, 0, []string{"a/b\nb\n" + shownKey + "\n"}},
		{[]string{"list", "zz"}, 0, nil},
	} {
		s := startOnTerminal(t, 80, 24, append(test.args, "--url", p.url)...)
		text := s.wait(test.status)
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%q shows\n%s\nwant %s", test.args, text, want)
			}
		}
		if strings.ContainsAny(text, "\x1b\u009b\u202e\u2066\x7f") || test.want == nil && text != "" {
			t.Errorf("%q shows %q", test.args, text)
		}
	}
}

// A delete by pattern asks first.
func TestDeleteAsks(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	set(p, "d/1", "d/2/x", "d/2/y", "e")
	ask := func(pattern, answer string, status int, want string) {
		t.Helper()
		s := startOnTerminal(t, 80, 24, "delete", "--pattern", pattern, "--url", p.url)
		if answer != "" {
			s.await("a question", func() bool { return strings.Contains(s.text(), "[y/N] ") })
			s.write(answer)
		}
		if text := s.wait(status); !strings.Contains(text, want) {
			t.Errorf("%s %q shows %q, want %q", pattern, answer, text, want)
		}
	}
	ask("d/#", "n\r", 1, `Delete 3 keys that match "d/#"? [y/N] `)
	ask("d/#", "\r", 1, "rtdb: delete: nothing is deleted")
	ask("d/#", "\x04", 1, "rtdb: delete: nothing is deleted") // the end of the input
	ask("d/#", "\x03", 1, "rtdb: interrupted")
	ask("none", "", 1, `rtdb: delete: no key matches "none"`)
	ask("a#", "", 1, "not a valid pattern")
	if all := stored(p); len(all) != 4 {
		t.Fatalf("%v are left", all)
	}
	ask("d/#", "y\r", 0, "[y/N] y\n3\n")
	if all := stored(p); len(all) != 1 {
		t.Fatalf("%v are left", all)
	}
}
