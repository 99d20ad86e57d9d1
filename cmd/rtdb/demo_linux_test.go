package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startDemo runs rtdb demo on a free port, and waits until its data is there.
func startDemo(t *testing.T, args ...string) *process {
	t.Helper()
	p := startWith(t, func(c *exec.Cmd) { c.Args = append([]string{c.Args[0], "demo"}, c.Args[1:]...) }, args...)
	p.await("demo ready", 1)
	return p
}

// The demo has its pages, its data and the console, and ends as a server does.
func TestTheDemo(t *testing.T) {
	t.Parallel()
	p := startDemo(t, "--sensors", "250", "--devices", "20")
	if e := p.await("demo ready", 1)[0]; e["sensors"] != 250.0 || e["devices"] != 20.0 || "http://"+e["addr"].(string) != p.url {
		t.Errorf("logged %v", e)
	}
	for path, want := range map[string]string{
		"/": `href="dashboard/"`, "/dashboard/": "dashboard.js", "/chat/chat.js": "/rtdb.js", "/editing/": "<title>", "/devices/": "<title>",
		"/demo.css": "color-scheme", "/console/": "<title>", "/rtdb.js": "export", "/data/sensors/03/050": `"celsius":`,
		"/data/devices/20/state": `"value":"online"`, "/data/document/blocks/00-1": `"text":`,
	} {
		if status, body := p.call("GET", path, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d without %q", path, status, want)
		}
	}
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
	p.await("server stopped", 1)
	for _, message := range []string{"demo data failed", "shutdown grace expired"} {
		if p.logged(message) {
			t.Errorf("the log has %q", message)
		}
	}
}

// A simulation is a running rtdb simulate.
type simulation struct {
	*exec.Cmd
	log bytes.Buffer
}

func (p *process) simulate(args ...string) *simulation {
	p.t.Helper()
	s := &simulation{Cmd: command(nil, append([]string{"simulate", "--url", p.url, "--interval", "100ms"}, args...)...)}
	s.Stderr = &s.log
	if err := s.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.Process.Kill(); _ = s.Wait() })
	return s
}

// awaitAnswer waits until the answer to a GET has a text n times.
func (p *process) awaitAnswer(path, text string, n int) {
	p.t.Helper()
	for deadline := time.After(patience); ; {
		_, body := p.call("GET", path, "")
		if strings.Count(body, text) == n {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			p.t.Fatalf("%s: %q never comes %d times in %.2000s", path, text, n, body)
		}
	}
}

// The wills of devices whose process is killed set their states to offline. If the process
// ends in an orderly way, the devices do it.
func TestSimulatedDevices(t *testing.T) {
	t.Parallel()
	devices := 200
	if os.Getenv("CI") != "" {
		devices = 1000
	}
	p := start(t, nil)
	s := p.simulate("--devices", fmt.Sprint(devices))
	p.awaitAnswer("/data?limit=1000&pattern=devices/+/state", `"online"`, devices)
	if status, body := p.call("PUT", "/data/devices/101/command", `{"value":{"lamp":"on"}}`); status != 200 {
		t.Fatal(status, body)
	}
	p.awaitAnswer("/data/devices/101/lamp", `"value":{"lamp":"on","command":`, 1)
	_ = s.Process.Kill()
	_ = s.Wait()
	p.awaitAnswer("/data?limit=1000&pattern=devices/+/state", `"offline"`, devices)

	s = p.simulate("--devices", "50", "--prefix", "site/7", "--first", "1")
	p.awaitAnswer("/data?limit=1000&pattern=site/7/+/state", `"online"`, 50)
	if err := s.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
	p.awaitAnswer("/data?limit=1000&pattern=site/7/+/state", `"offline"`, 50)
	if log := s.log.String(); !strings.Contains(log, `"devices":50`) || !strings.Contains(log, `"message":"devices ended"`) {
		t.Errorf("the log is %s", log)
	}
}

// A simulation that cannot run ends with one line that has the reason.
func TestASimulationThatCannotRun(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"JWT_SECRET=" + testSecret})
	for name, test := range map[string]struct {
		change func(*exec.Cmd)
		args   []string
		want   string
	}{
		"no token":      {nil, []string{"--url", p.url}, "(unauthorized): give a valid token by --token ($RTDB_TOKEN)"},
		"a wrong token": {nil, []string{"--url", p.url, "--token", "x.y.z"}, "(unauthorized): give a valid token by --token ($RTDB_TOKEN)"},
		"no server":     {nil, []string{"--url", "http://127.0.0.1:1"}, "connection refused: check --url ($RTDB_URL), or --host and --port"},
		"few files": {func(c *exec.Cmd) {
			c.Path, c.Args = "/bin/sh", []string{"sh", "-c", "ulimit -n 200; exec " + strings.Join(c.Args, " ")}
		}, nil, "1000 devices need 1020 open files, but the limit is 200: raise it with ulimit -n 1020"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(nil, append([]string{"simulate"}, test.args...)...)
			var stderr bytes.Buffer
			c.Stderr = &stderr
			if test.change != nil {
				test.change(c)
			}
			timer := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
			defer timer.Stop()
			_ = c.Run() // the exit status says whether it failed
			if text := stderr.String(); c.ProcessState.ExitCode() != exitFailure || strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "rtdb: simulate: ") || !strings.Contains(text, test.want) {
				t.Errorf("exit %d with %q, want %q", c.ProcessState.ExitCode(), text, test.want)
			}
		})
	}
}

// On a terminal the demo shows the address to open when there is something to see, and a
// simulation shows its figures on one line.
func TestTheDemoOnATerminal(t *testing.T) {
	t.Parallel()
	terminal, console := openTerminal(t)
	c := command([]string{"NO_COLOR=1"}, "demo", "--port", "0", "--sensors", "10", "--devices", "3")
	c.Stderr = console
	controlledBy(console)(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := linesOf(terminal)
	text := readTerminal(t, lines, "rtdb simulate --url")
	before, after, found := strings.Cut(text, "rtdb is ready at http://localhost:")
	if !found || !strings.Contains(before, "demo ready") || !strings.Contains(after, "open it in a browser") || !strings.Contains(after, "The state is in memory") {
		t.Errorf("the terminal shows\n%s", text)
	}
	_, url, _ := strings.Cut(after, "--url ")

	other, small := openTerminal(t)
	s := command(nil, "simulate", "--url", strings.TrimSpace(url), "--devices", "4", "--interval", "100ms")
	s.Stderr = small
	controlledBy(small)(s)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	status := linesOf(other)
	shown := ""
	for !strings.HasSuffix(shown, "4 of 4 devices online") {
		r, _, err := status.ReadRune()
		if err != nil {
			t.Fatalf("%v after %q", err, shown)
		}
		shown += string(r)
	}
	if _, err := other.WriteString("\x03"); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	readTerminal(t, status, "devices ended")
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := terminal.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	readTerminal(t, lines, "server stopped")
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}
