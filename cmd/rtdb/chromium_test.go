//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A chromium is a headless Chromium. Tests drive it by the Chrome DevTools Protocol. The
// few calls that they need do not justify a library for it.
type chromium struct {
	t    *testing.T
	addr string // of its DevTools
}

// startChromium runs Chromium, for which every name below .example is this machine. It
// ends with the test.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	needTool(t, "chromium")
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--user-data-dir="+t.TempDir(), "--remote-debugging-port=0",
		"--host-resolver-rules=MAP *.example 127.0.0.1", "about:blank")
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
			return &chromium{t, addr}
		}
	}
	t.Fatalf("chromium does not start:\n%s", strings.Join(said, "\n"))
	return nil
}

// A page is a tab of a chromium.
type page struct {
	t      *testing.T
	socket *websocket.Conn
	calls  int
}

// open opens a page and waits until it is loaded.
func (c *chromium) open(t *testing.T, url string) *page {
	t.Helper()
	r, err := http.NewRequest("PUT", "http://"+c.addr+"/json/new?"+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var target struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(answer.Body).Decode(&target); err != nil {
		t.Fatal(err)
	}
	socket, _, err := websocket.DefaultDialer.Dial(target.WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	p := &page{t: t, socket: socket}
	for p.run(`location.href`, nil) != url {
	}
	p.await(`document.readyState === "complete"`)
	return p
}

// run evaluates an expression, waits for it if it is a promise, and returns it if it is a
// string. If into is not nil, the value is stored there.
func (p *page) run(expression string, into any) string {
	p.t.Helper()
	p.calls++
	_ = p.socket.SetReadDeadline(time.Now().Add(patience))
	err := p.socket.WriteJSON(map[string]any{"id": p.calls, "method": "Runtime.evaluate",
		"params": map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}})
	if err != nil {
		p.t.Fatal(err)
	}
	for {
		var reply struct {
			ID     int
			Error  json.RawMessage
			Result struct {
				Result           struct{ Value json.RawMessage }
				ExceptionDetails json.RawMessage
			}
		}
		if err := p.socket.ReadJSON(&reply); err != nil {
			p.t.Fatalf("%s: %v", expression, err)
		}
		if reply.ID != p.calls {
			continue // an event
		}
		if reply.Error != nil || reply.Result.ExceptionDetails != nil {
			if strings.Contains(string(reply.Error), "navigat") { // the page is still being opened
				return ""
			}
			p.t.Fatalf("%s: %s %s", expression, reply.Error, reply.Result.ExceptionDetails)
		}
		text := ""
		_ = json.Unmarshal(reply.Result.Result.Value, &text)
		if into != nil {
			if err := json.Unmarshal(reply.Result.Result.Value, into); err != nil {
				p.t.Fatalf("%s: %v", expression, err)
			}
		}
		return text
	}
}

// await waits until a condition holds in the page.
func (p *page) await(condition string) {
	p.t.Helper()
	if got := p.run(fmt.Sprintf(`new Promise(done => {
		const end = Date.now() + %d
		const look = () => %s ? done("") : Date.now() > end ? done(JSON.stringify(window.seen ?? null)) : setTimeout(look, 10)
		look()
	})`, (patience-5*time.Second).Milliseconds(), condition), nil); got != "" {
		p.t.Fatalf("%s: never; the page has seen %s", condition, got)
	}
}

// follow opens event streams in the page. Each event is noted in the page's seen, as
// "number of the stream, kind, data".
func (p *page) follow(urls ...string) {
	p.t.Helper()
	list, err := json.Marshal(urls)
	if err != nil {
		p.t.Fatal(err)
	}
	p.run(fmt.Sprintf(`seen = []
		sources = %s.map((url, i) => {
			const source = new EventSource(url)
			for (const kind of ["message", "synced", "end", "error"])
				source.addEventListener(kind, e => seen.push([i, kind, e.data ?? ""].join(" ")))
			return source
		})
		""`, list), nil)
}

// awaitSeen waits until the page has seen an event that matches a regular expression,
// among those from the one with the number from on. It returns the number behind it.
func (p *page) awaitSeen(from int, pattern string) (next int) {
	p.t.Helper()
	find := fmt.Sprintf(`seen.findIndex((e, i) => i >= %d && /%s/.test(e))`, from, pattern)
	p.await(find + ` >= 0`)
	p.run(find, &next)
	return next + 1
}

// servePages serves empty pages, at every path and under every name, and returns the port.
func servePages(t *testing.T) (port string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html>"))
	}))
	t.Cleanup(s.Close)
	return s.URL[strings.LastIndex(s.URL, ":")+1:]
}
