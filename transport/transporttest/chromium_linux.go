package transporttest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long a test waits for something that should come at once.
const patience = 40 * time.Second

// A Chromium is a headless Chromium. Tests drive it by the Chrome DevTools Protocol. They
// need so few calls that a library would not be worth its size.
type Chromium struct {
	addr string // of its DevTools
}

// StartChromium runs Chromium, for which every name below .example is this machine. It
// ends with the test. Without the program the test is skipped, see [NeedTool]. flags are
// further arguments of the program.
func StartChromium(t testing.TB, flags ...string) *Chromium {
	t.Helper()
	NeedTool(t, "chromium")
	cmd := exec.Command("chromium", append(flags, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--user-data-dir="+t.TempDir(), "--remote-debugging-port=0",
		"--host-resolver-rules=MAP *.example 127.0.0.1", "about:blank")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its processes, too
		_ = cmd.Wait()                                      // it was killed
	})
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var said []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said = append(said, lines.Text())
		if rest, ok := strings.CutPrefix(lines.Text(), "DevTools listening on ws://"); ok {
			addr, _, _ := strings.Cut(rest, "/")
			return &Chromium{addr}
		}
	}
	t.Fatalf("chromium does not start:\n%s", strings.Join(said, "\n"))
	return nil
}

// A Page is a tab of a Chromium. One goroutine may use it at a time.
type Page struct {
	t      testing.TB
	socket *websocket.Conn
	calls  int
}

// Open opens a page in a window of its own, and waits until it is loaded. Chromium draws
// only the tab in front of each window. The window is closed when the test ends.
func (c *Chromium) Open(t testing.TB, url string) *Page {
	t.Helper()
	answer, err := http.Get("http://" + c.addr + "/json/version")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var version struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(answer.Body).Decode(&version); err != nil {
		t.Fatal(err)
	}
	browser := &Page{t: t, socket: c.dial(t, version.WebSocketDebuggerURL)}
	var target struct{ TargetID string }
	browser.Call("Target.createTarget", map[string]any{"url": url, "newWindow": true}, &target)
	t.Cleanup(func() { _ = browser.call("Target.closeTarget", map[string]any{"targetId": target.TargetID}, nil) })
	socket := c.dial(t, "ws://"+c.addr+"/devtools/page/"+target.TargetID)
	p := &Page{t: t, socket: socket}
	for p.Run(`location.href`, nil) != url {
	}
	p.Await(`document.readyState === "complete"`)
	return p
}

// dial opens a connection to DevTools. It ends with the test.
func (c *Chromium) dial(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	socket, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket
}

// Call calls a method of the Chrome DevTools Protocol. If into is not nil, the result is
// stored there. Without a reply within 40 s the test fails.
func (p *Page) Call(method string, params map[string]any, into any) {
	p.t.Helper()
	if err := p.call(method, params, into); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}

func (p *Page) call(method string, params map[string]any, into any) error {
	p.calls++
	_ = p.socket.SetReadDeadline(time.Now().Add(patience))
	if err := p.socket.WriteJSON(map[string]any{"id": p.calls, "method": method, "params": params}); err != nil {
		return err
	}
	for {
		var reply struct {
			ID     int
			Error  json.RawMessage
			Result json.RawMessage
		}
		if err := p.socket.ReadJSON(&reply); err != nil {
			return err
		}
		switch {
		case reply.ID != p.calls: // an event
		case reply.Error != nil:
			return errors.New(string(reply.Error))
		case into != nil:
			return json.Unmarshal(reply.Result, into)
		default:
			return nil
		}
	}
}

// Run evaluates an expression, awaits its value if that is a promise, and returns it if it
// is a string. If into is not nil, the value is stored there.
func (p *Page) Run(expression string, into any) string {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	err := p.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	switch {
	case err != nil && strings.Contains(err.Error(), "navigat"): // the page is still being opened
		return ""
	case err != nil:
		p.t.Fatalf("%s: %v", expression, err)
	case answer.ExceptionDetails != nil:
		p.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	text := ""
	_ = json.Unmarshal(answer.Result.Value, &text) // if it is not a string, there is no text
	if into != nil {
		if err := json.Unmarshal(answer.Result.Value, into); err != nil {
			p.t.Fatalf("%s: %v", expression, err)
		}
	}
	return text
}

// Await waits until a condition holds in the page. If it never does, the test fails and
// shows the page's variable seen.
func (p *Page) Await(condition string) {
	p.t.Helper()
	if got := p.Run(fmt.Sprintf(`new Promise(done => {
		const end = Date.now() + %d
		const look = () => %s ? done("") : Date.now() > end ? done(JSON.stringify(window.seen ?? null)) : setTimeout(look, 10)
		look()
	})`, (patience-5*time.Second).Milliseconds(), condition), nil); got != "" {
		p.t.Fatalf("%s: never; the page has seen %s", condition, got)
	}
}

// Resize gives the page a viewport of this size in CSS pixels.
func (p *Page) Resize(width, height int) {
	p.t.Helper()
	p.Call("Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// Screenshot writes a picture of the page to a PNG file.
func (p *Page) Screenshot(file string) {
	p.t.Helper()
	var shot struct{ Data []byte }
	p.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	if err := os.WriteFile(file, shot.Data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}
