package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"rtdb/transport/transporttest"
)

// The tests run the real program: if this variable is set, the test binary is rtdb.
const runAsRTDB = "RTDB_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsRTDB) != "" {
		main()
	}
	transporttest.Parallel(6)
	goleak.VerifyTestMain(m)
}

// patience is the longest time that a test waits for an event.
const patience = 30 * time.Second

func command(env []string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = []string{runAsRTDB + "=1", "HOME=" + os.Getenv("HOME"), "GOCOVERDIR=" + os.TempDir()}
	c.Env = append(c.Env, env...)
	return c
}

// runToEnd runs rtdb and returns what it printed and its exit status.
func runToEnd(t *testing.T, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	c := command(env, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// A process is a running server.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	url     string // http://127.0.0.1:port
	started map[string]any

	mu     sync.Mutex
	lines  []string
	grown  chan struct{} // gets a token when lines has
	ended  chan struct{} // closed when standard error has ended
	waited sync.Once
	err    error
}

// start runs a server on a free port.
func start(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	return startWith(t, func(c *exec.Cmd) { c.Env = append(c.Env, env...) }, args...)
}

// startWith is start for a command that is changed before it runs.
func startWith(t testing.TB, change func(*exec.Cmd), args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: command(nil, append([]string{"--port", "0"}, args...)...), ended: make(chan struct{}), grown: make(chan struct{}, 1)}
	change(p.cmd)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		transporttest.CheckEvents(t, operatorManual, p.lines)
	})
	p.started = p.await("server started", 1)[0]
	p.url = "http://" + p.started["addr"].(string)
	return p
}

func (p *process) read(stderr io.Reader) {
	defer close(p.ended)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mu.Unlock()
		select {
		case p.grown <- struct{}{}:
		default:
		}
	}
}

// log returns the events that the process has logged. It fails the test if a line is
// not a JSON object with a time, a level and a message.
func (p *process) log() (events []map[string]any) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			p.t.Fatalf("a line of the log is not JSON: %q", line)
		}
		stamp, _ := e["time"].(string)
		if at, err := time.Parse("2006-01-02T15:04:05.000Z", stamp); err != nil || time.Since(at).Abs() > time.Hour {
			p.t.Errorf("time %q is not RFC 3339 with milliseconds in UTC, or not now", stamp)
		}
		if e["level"] == nil || e["message"] == nil {
			p.t.Errorf("a line of the log without level or message: %s", line)
		}
		events = append(events, e)
	}
	return events
}

// await waits for n events with the message.
func (p *process) await(message string, n int) (events []map[string]any) {
	p.t.Helper()
	for timeout := time.After(patience); ; {
		events = nil
		for _, e := range p.log() {
			if e["message"] == message {
				events = append(events, e)
			}
		}
		if len(events) >= n {
			return events
		}
		select {
		case <-p.grown:
		case <-timeout:
			p.t.Fatalf("fewer than %d events %q in the log:\n%s", n, message, strings.Join(p.lines, "\n"))
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the end of the process and returns its error.
func (p *process) wait() error {
	p.waited.Do(func() {
		<-p.ended
		p.err = p.cmd.Wait()
	})
	return p.err
}

// stop ends the process by SIGTERM and wants exit status 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if err := p.wait(); err != nil {
		p.t.Errorf("after SIGTERM: %v", err)
	}
}

// call makes a request and returns the status and the body.
func (p *process) call(method, path, body string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func dial(t testing.TB, p *process) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// testSecret signs the tokens of the tests.
const testSecret = transporttest.Secret

// logged reports whether the process has logged an event with the message.
func (p *process) logged(message string) bool {
	for _, e := range p.log() {
		if e["message"] == message {
			return true
		}
	}
	return false
}
