package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A badSink makes a standard error that does not take lines. prepare, if it is not nil,
// changes the command.
type badSink struct {
	stderr  func(t *testing.T) *os.File
	prepare func(*exec.Cmd)
	refuses bool // lines at once, so they are counted
}

// openPipe returns the ends of a pipe. They are closed with the test.
func openPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w
}

// fill writes to a pipe until it takes nothing more.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	fd := int(w.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := syscall.Write(fd, make([]byte, 1)); errors.Is(err, syscall.EAGAIN) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

var badSinks = map[string]badSink{
	"a reader that has gone": {stderr: func(t *testing.T) *os.File {
		r, w := openPipe(t)
		_ = r.Close()
		return w
	}, refuses: true},
	"a pipe that is full and never read": {stderr: func(t *testing.T) *os.File {
		_, w := openPipe(t)
		fill(t, w)
		return w
	}},
	"a disk that is full": {stderr: func(t *testing.T) *os.File {
		w, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		return w
	}, refuses: true},
	"a file at the limit of its length": {stderr: func(t *testing.T) *os.File {
		w, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		return w
	}, prepare: func(c *exec.Cmd) {
		c.Args = append([]string{"sh", "-c", `ulimit -f 0; exec "$0" "$@"`, c.Path}, c.Args[1:]...)
		c.Path = "/bin/sh"
	}, refuses: true},
	"a terminal that is stopped": {stderr: func(t *testing.T) *os.File {
		terminal, console := openTerminal(t)
		if _, err := terminal.WriteString("\x13"); err != nil { // Ctrl-S
			t.Fatal(err)
		}
		return console
	}},
	"a terminal that is closed": {stderr: func(t *testing.T) *os.File {
		terminal, console := openTerminal(t)
		_ = terminal.Close()
		return console
	}, refuses: true},
}

var droppedLines = regexp.MustCompile(`(?m)^rtdb_log_lines_dropped_total (\d+)$`)

// A log that takes no lines neither ends the server nor delays it.
func TestALogThatTakesNoLines(t *testing.T) {
	for name, sink := range badSinks {
		for _, format := range []string{"json", "console"} {
			t.Run(name+", "+format, func(t *testing.T) {
				t.Parallel()
				s := startOnSocket(t, sink.stderr(t), sink.prepare, "--log-format", format, "--log-level", "debug")
				c := s.connect()
				for i := range 300 { // some 80 KB of log, more than a pipe holds
					if reply := c.ask(fmt.Sprintf(`{"action":"set","key":"k%d","value":1,"id":1}`, i)); !strings.Contains(reply, `"ok":true`) {
						t.Fatal(reply)
					}
				}
				if status, text := s.call("GET", "/data/k299", ""); status != 200 {
					t.Errorf("get: %d %s", status, text)
				}
				_, metrics := s.call("GET", "/metrics", "")
				m := droppedLines.FindStringSubmatch(metrics)
				if m == nil {
					t.Fatal("there is no metric rtdb_log_lines_dropped_total")
				}
				if n, _ := strconv.Atoi(m[1]); sink.refuses != (n > 0) {
					t.Errorf("%d lines dropped", n)
				}
				if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				c.wantClose(1012)
				s.wantEnd()
			})
		}
	}
}

// The exit status is right even if nobody reads the complaint.
func TestAComplaintThatNobodyReads(t *testing.T) {
	for name, sink := range badSinks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(nil, "--port", "x")
			c.Stderr = sink.stderr(t)
			if sink.prepare != nil {
				sink.prepare(c)
			}
			err := c.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitBadUsage {
				t.Errorf("%v, want exit status %d", err, exitBadUsage)
			}
		})
	}
}

// When somebody reads the log again, one line says how many lines were lost.
func TestALogThatIsReadAgain(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *os.File {
		t.Helper()
		r, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	first := open()
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := startOnSocket(t, w, nil)
	_ = w.Close()
	_ = first.Close() // the reader has gone
	dropped := func() int {
		_, metrics := s.call("GET", "/metrics", "")
		n, _ := strconv.Atoi(droppedLines.FindStringSubmatch(metrics)[1])
		return n
	}
	for deadline := time.Now().Add(patience); dropped() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no line was dropped")
		}
		s.call("GET", "/data/none", "")
	}
	second := open()
	s.call("GET", "/data/last", "")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.wantEnd()
	text := make([]byte, 1<<16)
	n, err := second.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text[:n])), "\n")
	if strings.Contains(lines[0], "server started") { // the pipe may have kept it
		lines = lines[1:]
	}
	if !strings.Contains(lines[0], `"level":"warn","lines":`) || !strings.Contains(lines[0], `"message":"log lines dropped"`) {
		t.Errorf("the first line is %s", lines[0])
	}
	if last := lines[len(lines)-1]; !strings.Contains(string(text[:n]), `"key":"last"`) || !strings.Contains(last, "server stopped") {
		t.Errorf("the log goes on with %q", lines[1:])
	}
}
