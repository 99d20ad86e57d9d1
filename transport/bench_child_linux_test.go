package transport_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A child is a server in a process of its own.
type child struct {
	process *exec.Cmd
	stdin   io.WriteCloser // nil if it is not a server of this binary
	stdout  *bufio.Reader  // likewise
	address string
	killed  bool
}

// startChild starts a server of the map servers. It ends with the benchmark.
func startChild(b *testing.B, name string) *child {
	b.Helper()
	return startChildIn(b, name, b.TempDir())
}

// startChildIn is startChild with the directory in which the server may keep its state.
func startChildIn(b *testing.B, name, dir string) *child {
	b.Helper()
	c := &child{process: exec.Command(os.Args[0])}
	c.process.Env = append(os.Environ(), serverVariable+"="+name, directoryVariable+"="+dir)
	c.process.Stderr = os.Stderr
	var err error
	if c.stdin, err = c.process.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.stdout = bufio.NewReader(out)
	c.start(b)
	line, err := c.stdout.ReadString('\n')
	if err != nil {
		b.Fatalf("the server %s: %v", name, err)
	}
	c.address = strings.TrimSpace(line)
	return c
}

// start starts the process. It ends with the benchmark: a server of this binary when its
// input ends, and another program by a signal.
func (c *child) start(b *testing.B) {
	b.Helper()
	if err := c.process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if c.killed {
			return
		}
		if c.stdin == nil {
			_ = c.process.Process.Signal(syscall.SIGTERM)
		} else {
			_ = c.stdin.Close()
		}
		killer := time.AfterFunc(patience, func() { _ = c.process.Process.Kill() })
		if c.stdout != nil {
			_, _ = io.Copy(io.Discard, c.stdout)
		}
		if err := c.process.Wait(); err != nil {
			b.Errorf("%s: %v", c.process, err)
		}
		killer.Stop()
	})
}

// kill ends the server as kill -9 does.
func (c *child) kill(b *testing.B) {
	b.Helper()
	c.killed = true
	if err := c.process.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	_ = c.process.Wait() // it says that the process was killed
}

// ask sends the server a command and returns its answer.
func (c *child) ask(b *testing.B, command string) (answer float64) {
	b.Helper()
	if _, err := fmt.Fprintln(c.stdin, command); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fscanln(c.stdout, &answer); err != nil {
		b.Fatal(err)
	}
	return answer
}

// cpu returns the user and system time of all threads of the process, in steps of 10 ms.
func (c *child) cpu(b *testing.B) time.Duration {
	b.Helper()
	text := c.proc(b, "stat")
	// The name of the program, in parentheses, may contain any character. The
	// third field follows it; utime and stime are the 14th and the 15th
	// (proc_pid_stat(5)).
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	ticks := 0
	for _, f := range fields[14-3 : 16-3] {
		n, err := strconv.Atoi(string(f))
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all systems that Go runs on
	return time.Duration(ticks) * tick
}

// resident returns how many bytes of memory the process has.
func (c *child) resident(b *testing.B) int {
	b.Helper()
	return c.field(b, "status", "VmRSS:") << 10 // it is in kB
}

// field returns the number after a name in a file of the process (proc(5)).
func (c *child) field(b *testing.B, file, name string) int {
	b.Helper()
	text := c.proc(b, file)
	fields := strings.Fields(string(text))
	if i := slices.Index(fields, name); i >= 0 && i+1 < len(fields) {
		if n, err := strconv.Atoi(fields[i+1]); err == nil {
			return n
		}
	}
	b.Fatalf("no number %s in %q", name, text)
	return 0
}

func (c *child) proc(b *testing.B, file string) []byte {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.process.Process.Pid, file))
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// rest waits until the server has nothing to do, because work that earlier clients caused
// must not be measured with later work.
func (c *child) rest(b *testing.B) {
	b.Helper()
	const still = 60 * time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); {
		before := c.cpu(b)
		time.Sleep(still)
		if c.cpu(b) == before {
			return
		}
	}
	b.Fatal("the server does not come to rest")
}
