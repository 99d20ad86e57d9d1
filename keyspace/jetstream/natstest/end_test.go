package natstest_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace/jetstream/natstest"
)

// refused waits until nothing listens at an address.
func refused(t *testing.T, addr string) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-ticker.C {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
		if time.Now().After(end) {
			t.Fatalf("a server still listens at %s", addr)
		}
	}
}

func TestServersEndWithTheTest(t *testing.T) {
	t.Parallel()
	var addr string
	t.Run("test", func(t *testing.T) {
		s := natstest.Start(t, natstest.Options{}).Server(0)
		addr = s.Addr()
		s.Stop()
	})
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Errorf("a server still listens at %s", addr)
	}
}

// If this variable is set, TestServersEndWithTheProcess is the process that dies.
const dies = "NATSTEST_DIES"

func TestServersEndWithTheProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends the servers")
	}
	if os.Getenv(dies) != "" {
		fmt.Println("address", natstest.Start(t, natstest.Options{}).Server(0).Addr())
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestServersEndWithTheProcess$")
	cmd.Env = append(os.Environ(), dies+"=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var addr string
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		addr, _ = strings.CutPrefix(lines.Text(), "address ")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if addr == "" {
		t.Fatal("the process has started no server")
	}
	refused(t, addr)
}

// A failed records the errors of a test, which goes on.
type failed struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (f *failed) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func TestAServerThatEndsByItselfFailsTheTest(t *testing.T) {
	t.Parallel()
	var f *failed
	t.Run("test", func(t *testing.T) {
		f = &failed{TB: t}
		s := natstest.Start(f, natstest.Options{}).Server(0)
		log, err := os.ReadFile(s.Log())
		if err != nil {
			t.Fatal(err)
		}
		// Each line begins with [the process's id].
		id, _, _ := strings.Cut(strings.TrimPrefix(string(log), "["), "]")
		pid, err := strconv.Atoi(id)
		if err != nil {
			t.Fatalf("the log has no process id: %s", log)
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		refused(t, s.Addr())
		for s.Running() {
			runtime.Gosched()
		}
	})
	if len(f.errors) != 1 || !strings.Contains(f.errors[0], "ended by itself") || !strings.Contains(f.errors[0], "Server is ready") {
		t.Errorf("the test has the errors %q, want one with the end of the log", f.errors)
	}
}
