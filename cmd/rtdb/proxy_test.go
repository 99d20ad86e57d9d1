//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport/transporttest"
)

// nginxSnippet returns the operator's manual's configuration of nginx.
func nginxSnippet(t *testing.T) string {
	t.Helper()
	for _, b := range manualBlocks(t, operatorManual) {
		if b.kind == "nginx" {
			return strings.Join(b.lines, "\n") + "\n"
		}
	}
	t.Fatal("cmd/rtdb/README.md has no configuration of nginx")
	return ""
}

// The host that a browser calls, and the address of nginx's client. Without the proxy's
// headers, rtdb would see neither.
const (
	publicHost = "db.example.com:8443"
	clientAddr = "127.0.0.2"
)

// A proxy is an nginx in front of a server, and a client of it.
type proxy struct {
	t    *testing.T
	dial func(context.Context, string, string) (net.Conn, error) // ignores the address
	http http.Client
	port string
}

// startNginx runs nginx with the manual's configuration, in which the pairs of changes are
// replaced. It ends with the test.
func startNginx(t *testing.T, changes ...string) *proxy {
	t.Helper()
	transporttest.NeedTool(t, "nginx")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	snippet := nginxSnippet(t)
	for change := range slices.Chunk(append(changes, "listen 443 ssl", "listen "+addr), 2) {
		if !strings.Contains(snippet, change[0]) {
			t.Fatalf("the configuration lacks %q", change[0])
		}
		snippet = strings.ReplaceAll(snippet, change[0], change[1])
	}
	dir := t.TempDir()
	config := "daemon off; master_process off; pid nginx.pid;\nevents {}\nhttp {\naccess_log off;\n"
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += fmt.Sprintf("%s_temp_path %s;\n", what, filepath.Join(dir, what))
	}
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config+snippet+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	nginx := exec.Command("nginx", "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	nginx.Stderr = &said
	nginx.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(patience, func() { _ = nginx.Process.Kill() })
		defer timer.Stop()
		if err := nginx.Wait(); err != nil || t.Failed() {
			t.Errorf("nginx ended with %v, and said:\n%s", err, said.String())
		}
	})
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddr)}}
	p := &proxy{t: t, port: strconv.Itoa(l.Addr().(*net.TCPAddr).Port), dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return from.DialContext(ctx, "tcp", addr) }}
	transporttest.Eventually(t, "nginx listens", func() bool {
		c, err := p.dial(context.Background(), "", "")
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	p.http = http.Client{Timeout: patience, Transport: &http.Transport{DialContext: p.dial, DisableKeepAlives: true}}
	return p
}

// open makes a request whose answer is read by the caller.
func (p *proxy) open(method, path, body, origin string) *http.Response {
	p.t.Helper()
	r, err := http.NewRequest(method, "http://"+publicHost+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "203.0.113.9") // a lie
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	answer, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func (p *proxy) want(method, path, body, origin string, status int, want string) {
	p.t.Helper()
	answer := p.open(method, path, body, origin)
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status || !strings.Contains(string(text), want) {
		p.t.Errorf("%s %s from %q: %d %s, %v; want %d with %s", method, path, origin, answer.StatusCode, text, err, status, want)
	}
}

// webSocket opens a WebSocket as a page of the origin would.
func (p *proxy) webSocket(origin string) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{NetDialContext: p.dial, HandshakeTimeout: patience, Subprotocols: []string{"rtdb.v1"}}
	c, answer, err := dialer.Dial("ws://"+publicHost+"/ws", http.Header{"Origin": {origin}})
	if err == nil {
		p.t.Cleanup(func() { _ = c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(patience))
	}
	return c, answer, err
}

func TestBehindNginx(t *testing.T) {
	t.Run("by TCP", func(t *testing.T) {
		everything := `{"read":["#"],"write":["#"],"listen":["#"],"publish":["#"]}`
		server := start(t, []string{"TRUSTED_PROXIES=127.0.0.1/32", "JWT_SECRET=" + strings.Repeat("secret", 6), "ANONYMOUS_GRANTS=" + everything})
		testBehindNginx(t, server, "127.0.0.1:8080", strings.TrimPrefix(server.url, "http://"))
	})
	// On a Unix socket a server without a key takes the public Host.
	for name, change := range map[string][2]string{
		"by a Unix socket":              {"server 127.0.0.1:8080;", "server unix:PATH;"},
		"by a Unix socket, no upstream": {"proxy_pass http://rtdb;", "proxy_pass http://unix:PATH;"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(socketDir(t), "rtdb.sock")
			server := start(t, []string{"TRUSTED_PROXIES=unix", "HOST=unix:" + path})
			testBehindNginx(t, server, change[0], strings.ReplaceAll(change[1], "PATH", path))
		})
	}
}

func testBehindNginx(t *testing.T, server *process, changes ...string) {
	const ours, theirs = "https://" + publicHost, "https://evil.example"
	p := startNginx(t, changes...)

	// Names as they are.
	p.want("PUT", "/data/a%2Fb", `{"value":1}`, "", 200, `"key":"a/b"`)
	p.want("GET", "/data/a/b", "", "", 200, `"value":1`)
	p.want("GET", "/data/a%252Fb", "", "", 404, "not_found")
	for _, path := range []string{"/data/a//b", "/data/a%2F%2Fb", "/data/x/../a/b"} {
		p.want("GET", path, "", "", 400, "invalid_name")
	}
	p.want("PUT", "/data/a", `{"value":"`+strings.Repeat("x", 1_200_000)+`"}`, "", 413, "too_large")

	// Pages.
	p.want("PUT", "/data/a/b", `{"value":2}`, ours, 200, "")
	p.want("PUT", "/data/a/b", `{"value":3}`, theirs, 403, "forbidden")
	if _, answer, err := p.webSocket(theirs); err == nil || answer == nil || answer.StatusCode != 403 {
		t.Errorf("a WebSocket of another origin: %v, %v; want 403", answer, err)
	}

	// A WebSocket, and a stream that is written to by it.
	stream := p.open("GET", "/events?key=k", "", ours)
	events := bufio.NewReader(stream.Body)
	line, err := events.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "retry: ") {
		t.Fatalf("the stream began with %q, %v", line, err)
	}
	for !strings.HasPrefix(line, "id: ") { // until the stream is subscribed
		if line, err = events.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	socket, _, err := p.webSocket(ours)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(message string, wants ...string) {
		t.Helper()
		if err := socket.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		for range wants {
			_, text, err := socket.ReadMessage()
			var got struct{ ID, Value, Version json.Number }
			if err != nil || json.Unmarshal(text, &got) != nil {
				t.Fatalf("after %s came %s, %v", message, text, err)
			}
			if is := "id" + got.ID.String() + " value" + got.Value.String(); !contains(wants, is) || got.Value != "" && got.Version == "" {
				t.Errorf("after %s came %s, want %v", message, text, wants)
			}
		}
	}
	ask(`{"action":"subscribe","key":"k","id":1}`, "id1 value")
	began := time.Now()
	ask(`{"action":"set","key":"k","value":22,"id":2}`, "id2 value", "id value22")
	for line := ""; !strings.Contains(line, `"value":22`); {
		if line, err = events.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second { // at 15 s there is a heartbeat
		t.Errorf("the event came after %v, want at once", took)
	}

	// Who it was, and how it ended.
	for _, message := range []string{"http request", "session opened"} {
		for _, e := range server.await(message, 2) {
			if e["remote"] != clientAddr {
				t.Errorf("%s: remote %v, want %s", message, e["remote"], clientAddr)
			}
		}
	}
	server.signal(syscall.SIGTERM)
	var closed *websocket.CloseError
	if _, _, err := socket.ReadMessage(); !errors.As(err, &closed) || closed.Code != 1012 {
		t.Errorf("the WebSocket ended with %v, want 1012", err)
	}
	_ = socket.Close()
	if err := server.wait(); err != nil {
		t.Error(err)
	}
}

// nginx compresses although Cache-Control says no-transform. It makes the tags weak, and they
// still work as conditions. It does not hold back an event stream.
func TestBehindNginxThatCompresses(t *testing.T) {
	server := start(t, []string{"JWT_SECRET=" + strings.Repeat("secret", 6), `ANONYMOUS_GRANTS={"read":["#"],"write":["#"]}`})
	p := startNginx(t, "127.0.0.1:8080", strings.TrimPrefix(server.url, "http://"),
		"upstream rtdb {", "gzip on;\ngzip_types *;\ngzip_min_length 1;\nupstream rtdb {")
	call := func(method, path, body string, header http.Header, status int) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+publicHost+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		answer, err := p.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.StatusCode != status {
			t.Errorf("%s %s with %v: %s, want %d", method, path, header, answer.Status, status)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store, no-transform" {
			t.Errorf("%s %s: Cache-Control %q", method, path, got)
		}
		return answer
	}
	call("PUT", "/data/k", `{"value":1}`, http.Header{}, 200)
	for range 2 {
		answer := call("GET", "/data/k", "", http.Header{}, 200)
		tag := answer.Header.Get("ETag")
		if !answer.Uncompressed || !strings.HasPrefix(tag, "W/") {
			t.Fatalf("nginx compressed the answer: %v, and the tag is %s; want a weak one", answer.Uncompressed, tag)
		}
		call("GET", "/data/k", "", http.Header{"If-None-Match": {tag}}, 304)
		call("PUT", "/data/k", `{"value":2}`, http.Header{"If-Match": {tag}}, 200)
		call("PUT", "/data/k", `{"value":3}`, http.Header{"If-Match": {tag}}, 412)
	}

	stream := call("GET", "/events?key=k", "", http.Header{}, 200)
	if !stream.Uncompressed {
		t.Error("nginx did not compress the stream")
	}
	events := bufio.NewReader(stream.Body)
	await := func(text string) {
		t.Helper()
		began := time.Now()
		for line := ""; !strings.Contains(line, text); {
			var err error
			if line, err = events.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 5*time.Second { // at 15 s there is a heartbeat
			t.Errorf("%s came after %v, want at once", text, took)
		}
	}
	await("id: ")
	for range 3 {
		call("PUT", "/data/k", `{"value":4}`, http.Header{}, 200)
		await(`"value":4`)
	}
}

func contains(list []string, s string) bool {
	return strings.Contains(strings.Join(list, ",")+",", s+",")
}
