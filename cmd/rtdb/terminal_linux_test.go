package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns a new terminal, as a person has it, and the console that a program
// has as its standard streams (pty(7)).
func openTerminal(t *testing.T) (terminal, console *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	raw, err := terminal.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var unlock, ask error
	err = raw.Control(func(fd uintptr) {
		unlock = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		number, ask = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err != nil || unlock != nil || ask != nil {
		t.Fatal(err, unlock, ask)
	}
	console, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = console.Close() })
	return terminal, console
}

// controlledBy makes the console the controlling terminal of a command's session.
func controlledBy(console *os.File) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Stdin = console
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}
}

// A server whose terminal is closed goes on.
func TestAServerOutlivesItsTerminal(t *testing.T) {
	t.Parallel()
	terminal, console := openTerminal(t)
	s := startOnSocket(t, console, controlledBy(console))
	c := s.connect()
	_ = console.Close()
	_ = terminal.Close() // sends SIGHUP
	for i := range 20 {
		if reply := c.ask(`{"action":"set","key":"k","value":1,"id":1}`); !strings.Contains(reply, `"ok":true`) {
			t.Fatal(i, reply)
		}
		s.call("GET", "/data/k", "")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.wantClose(1012)
	s.wantEnd()
}

// A background job may log to a terminal that stops the background jobs that write to it.
func TestABackgroundJobMayLog(t *testing.T) {
	t.Parallel()
	terminal, console := openTerminal(t)
	lines := linesOf(terminal)
	s := startOnSocket(t, console, func(c *exec.Cmd) {
		controlledBy(console)(c)
		c.Env = append(c.Env, "NO_COLOR=1")
		c.Args = append([]string{"sh", "-c", `stty tostop; set -m; "$0" "$@" & echo pid $! >&2; wait $!`, c.Path}, c.Args[1:]...)
		c.Path = "/bin/sh"
	})
	text := readTerminal(t, lines, "The state is")
	if !strings.Contains(text, "server started") {
		t.Errorf("the terminal shows\n%s", text)
	}
	var job int
	if _, err := fmt.Sscanf(text[strings.Index(text, "pid "):], "pid %d", &job); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	s.call("GET", "/data/none", "")
	readTerminal(t, lines, "http request GET /data/{key} 404")
	if err := syscall.Kill(job, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	readTerminal(t, lines, "server stopped")
	s.wantEnd()
}

// linesOf returns a reader of what a terminal shows.
func linesOf(terminal *os.File) *bufio.Reader {
	_ = terminal.SetReadDeadline(time.Now().Add(patience))
	return bufio.NewReader(terminal)
}

// readTerminal returns what a terminal shows until a line that contains last. The rest
// stays in lines.
func readTerminal(t *testing.T, lines *bufio.Reader, last string) (text string) {
	t.Helper()
	for {
		line, err := lines.ReadString('\n')
		text += line
		switch {
		case err != nil:
			t.Fatalf("%v after %q", err, text)
		case strings.Contains(line, last):
			return strings.ReplaceAll(text, "\r\n", "\n")
		}
	}
}

// On a terminal the start shows the address to click, the rights of clients, and that the
// state is not kept.
func TestAStartOnATerminal(t *testing.T) {
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	const kept = " The state is in memory, and is lost when rtdb ends.\n"
	path := socketDir(t) + "/s"
	for name, test := range map[string]struct {
		env, args []string
		want      string
	}{
		"by default": {nil, nil, "rtdb is ready at http://localhost:PORT (open it in a browser; Ctrl-C ends it).\nEverybody on this machine may do everything." + kept},
		"for all networks": {[]string{"HOST=0.0.0.0"}, nil,
			"rtdb is ready at http://localhost:PORT (open it in a browser; Ctrl-C ends it).\nEverybody who reaches this machine may do everything." + kept},
		"no pages":    {[]string{"CONSOLE=false"}, nil, "rtdb is ready at http://localhost:PORT (Ctrl-C ends it).\n"},
		"one address": {nil, []string{"--host", "127.0.0.2"}, "rtdb is ready at http://127.0.0.2:PORT (open it in a browser; Ctrl-C ends it).\nEverybody on this machine"},
		"with a key":  {[]string{"JWT_SECRET=" + testSecret}, nil, "\nOnly holders of a token may do anything (rtdb token makes one)." + kept},
		"with grants": {[]string{"JWT_SECRET=" + testSecret, `ANONYMOUS_GRANTS={"read":["#"]}`}, nil,
			"\nA token says what its holder may do (rtdb token makes one), and --anonymous-grants what everybody else may do." + kept},
		"on a Unix socket": {[]string{"HOST=unix:" + path}, nil, "rtdb is ready at the Unix socket " + path + " (Ctrl-C ends it).\nEverybody who may write to the socket's file may do everything." + kept},
	} {
		t.Run(name, func(t *testing.T) {
			terminal, console := openTerminal(t)
			lines := linesOf(terminal)
			port := free()
			c := command(append(test.env, "NO_COLOR=1"), append([]string{"--port", port}, test.args...)...)
			c.Stderr = console
			controlledBy(console)(c)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			text := readTerminal(t, lines, "The state is")
			if want := strings.ReplaceAll(test.want, "PORT", port); !strings.Contains(text, want) {
				t.Errorf("the terminal shows\n%swant\n%s", text, want)
			}
			if !strings.Contains(text, "server started addr=") || strings.Contains(text, "max_") {
				t.Errorf("the terminal shows\n%swant the address without the limits", text)
			}
			if _, err := terminal.WriteString("\x03"); err != nil { // Ctrl-C
				t.Fatal(err)
			}
			if text := readTerminal(t, lines, "server stopped"); !strings.Contains(text, "server draining reason=interrupt") {
				t.Errorf("after Ctrl-C the terminal shows\n%s", text)
			}
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// On a terminal an export shows its progress, and removes it at the end.
func TestExportShowsItsProgress(t *testing.T) {
	t.Parallel()
	terminal, console := openTerminal(t)
	seen := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "" {
			fmt.Fprint(w, `{"items":[{"key":"a","value":1}],"next":"a"}`)
			return
		}
		select {
		case <-seen:
		case <-time.After(patience):
			t.Error("there is no progress")
		}
		fmt.Fprint(w, `{"items":[{"key":"b","value":1}]}`)
	}))
	defer server.Close()
	c := command(nil, "export", "--url", server.URL, "--to", filepath.Join(t.TempDir(), "keys.jsonl"))
	c.Stderr = console
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = console.Close()
	shown := bufio.NewReader(terminal)
	if text, err := shown.ReadString('/'); err != nil || !strings.HasPrefix(text, "\r\x1b[K1s  1 keys  1 keys/") {
		t.Errorf("%v, it shows %q", err, text)
	}
	close(seen)
	if text, err := shown.ReadString('\n'); err != nil || !strings.Contains(text, "\r\x1b[K2 keys exported in ") {
		t.Errorf("%v, it shows %q", err, text)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}
