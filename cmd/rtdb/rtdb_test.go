package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"rtdb/keyspace"
)

func TestSettingsThatMakeNoSense(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, takenPort, _ := net.SplitHostPort(taken.Addr().String())
	for _, test := range []struct {
		env    []string
		args   []string
		status int
		want   string // in the line
	}{
		{nil, []string{"--port", "x"}, 2, "--port"},
		{nil, []string{"--port", "70000"}, 2, "--port"},
		{nil, []string{"--port", "-1"}, 2, "--port"},
		{nil, []string{"--port"}, 2, "--port"},
		{[]string{"PORT=http"}, nil, 2, "PORT"},
		{[]string{"PORT=80\n80"}, nil, 2, "PORT"},
		{nil, []string{"--host", ""}, 2, "--host"},
		{nil, []string{"--log-level", "loud"}, 2, "--log-level"},
		{[]string{"LOG_LEVEL=INFO!"}, nil, 2, "--log-level"},
		{nil, []string{"--log-format=xml"}, 2, "--log-format"},
		{[]string{"LOG_FORMAT=xml"}, nil, 2, "--log-format"},
		{nil, []string{"--max-value-bytes=0"}, 2, "--max-value-bytes"},
		{[]string{"MAX_VALUE_BYTES=64k"}, nil, 2, "MAX_VALUE_BYTES"},
		{nil, []string{"--shutdown-grace=15"}, 2, "--shutdown-grace"},
		{[]string{"SHUTDOWN_GRACE=-1s"}, nil, 2, "--shutdown-grace"},
		{nil, []string{"--jwt-secret", "short"}, 2, "--jwt-secret ($JWT_SECRET): the secret has 5 bytes"},
		{nil, []string{"--jwt-secret="}, 2, "--jwt-secret: it is empty"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--jwt-secret", ""}, 2, "--jwt-secret: it is empty"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--jwt-public-key-file", "/none"}, 2, "exclude each other"},
		{nil, []string{"--jwt-public-key-file", "/none"}, 2, "--jwt-public-key-file"},
		{nil, []string{"--jwt-public-key-file", "rtdb_test.go"}, 2, "no PEM block found"},
		{nil, []string{"--anonymous-grants", `{"read":["#"]}`}, 2, "--anonymous-grants"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--anonymous-grants", `{"raed":["#"]}`}, 2, "--anonymous-grants"},
		{[]string{"ALLOWED_ORIGINS=https://a.example, b.example"}, nil, 2, `"b.example"`},
		{nil, []string{"--allowed-origins", "https://a.example/"}, 2, "--allowed-origins"},
		{nil, []string{"--trusted-proxies", "10.0.0.0/33"}, 2, "--trusted-proxies"},
		{nil, []string{"--tls-cert-file", "x.pem"}, 2, "go together"},
		{nil, []string{"--port", "0", "--tls-cert-file", "/none", "--tls-key-file", "/none"}, 1, "--tls-cert-file"},
		{nil, []string{"--admin-addr", "9090"}, 2, "--admin-addr"},
		{nil, []string{"--port", "0", "--admin-addr", "127.0.0.1:" + takenPort}, 1, "address already in use"},
		{nil, []string{"--max-sessions=-1"}, 2, "--max-sessions"},
		{nil, []string{"--max-subscriptions=0"}, 2, "--max-subscriptions"},
		{[]string{"MAX_KEYS=many"}, nil, 2, "MAX_KEYS"},
		{nil, []string{"--max-request-rate=-1"}, 2, "--max-request-rate"},
		{nil, []string{"--max-request-rate=NaN"}, 2, "--max-request-rate"},
		{nil, []string{"--max-pending-bytes=0"}, 2, "--max-pending-bytes"},
		{nil, []string{"--header-timeout=0s"}, 2, "--header-timeout"},
		{nil, []string{"--idle-timeout=1"}, 2, "--idle-timeout"},
		{nil, []string{"--message-timeout=-1s"}, 2, "--message-timeout"},
		{nil, []string{"--no-such-flag"}, 2, "--no-such-flag"},
		{nil, []string{"dance"}, 2, "dance"},
		{nil, []string{"--port", takenPort}, 1, "127.0.0.1:" + takenPort + ": address already in use"},
		{nil, []string{"--port", takenPort, "--host", "127.0.0.1"}, 1, "address already in use"},
		{nil, []string{"--port", takenPort, "--host", "[127.0.0.1]"}, 1, "127.0.0.1:" + takenPort + ": address already in use"},
		{nil, []string{"--host", "192.0.2.1", "--port", "0"}, 1, "192.0.2.1"},
	} {
		stdout, stderr, status := runToEnd(t, test.env, test.args...)
		if status != test.status || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "rtdb: ") ||
			!strings.Contains(stderr, test.want) || stdout != "" {
			t.Errorf("%q %q: exit %d with %q, want exit %d with one line about %s", test.env, test.args, status, stderr, test.status, test.want)
		}
	}
}

func TestAFlagComesBeforeAVariableBeforeTheDefault(t *testing.T) {
	for _, test := range []struct {
		env  []string
		args []string
		want float64
	}{
		{nil, nil, 65536},
		{[]string{"MAX_VALUE_BYTES="}, nil, 65536}, // empty is unset
		{[]string{"MAX_VALUE_BYTES=1000"}, nil, 1000},
		{[]string{"MAX_VALUE_BYTES=1000"}, []string{"--max-value-bytes=2000"}, 2000},
		{[]string{"MAX_VALUE_BYTES=nonsense"}, []string{"--max-value-bytes=2000"}, 2000},
	} {
		env := append(test.env, "HOST=", "LOG_LEVEL=", "LOG_FORMAT=", "SHUTDOWN_GRACE=", "PORT=")
		p := start(t, env, test.args...)
		if got := p.started["max_value_bytes"]; got != test.want {
			t.Errorf("%q %q: max_value_bytes %v, want %v", test.env, test.args, got, test.want)
		}
		p.stop()
	}
	p := start(t, []string{"HOST=127.0.0.1", "LOG_LEVEL=debug", "SHUTDOWN_GRACE=3s"})
	if l := p.started["listeners"].([]any); len(l) != 1 || p.started["shutdown_grace_ms"] != 3000.0 {
		t.Errorf("started with %v", p.started)
	}
	p.call("GET", "/healthz", "")
	p.await("http request", 1) // only at debug
	p.stop()
}

func TestLocalhostIsBothLoopbackAddresses(t *testing.T) {
	p := start(t, nil)
	port := p.url[strings.LastIndexByte(p.url, ':')+1:]
	var want []any
	for _, host := range []string{"127.0.0.1", "::1"} {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, "0")); err == nil {
			_ = l.Close()
			want = append(want, net.JoinHostPort(host, port))
		}
	}
	if got := p.started["listeners"].([]any); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
	for _, addr := range want {
		answer, err := http.Get(fmt.Sprintf("http://%v/healthz", addr))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = answer.Body.Close()
	}
	p.stop()
}

func TestHelpAndVersion(t *testing.T) {
	stdout, stderr, status := runToEnd(t, nil, "--help")
	if status != 0 || stderr != "" {
		t.Errorf("--help: exit %d with %q", status, stderr)
	}
	for _, want := range []string{
		"--port=8080", "$PORT", `--host="localhost"`, "$HOST", `--log-level="info"`, "$LOG_LEVEL",
		`--log-format="auto"`, "$LOG_FORMAT", "--max-value-bytes=65536", "$MAX_VALUE_BYTES",
		"--shutdown-grace=15s", "$SHUTDOWN_GRACE", "health", "version",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("--help lacks %s:\n%s", want, stdout)
		}
	}
	stdout, stderr, status = runToEnd(t, nil, "version")
	if status != 0 || stderr != "" || !strings.HasPrefix(stdout, "rtdb ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("version: exit %d, %q, %q", status, stdout, stderr)
	}
}

func TestHealth(t *testing.T) {
	p := start(t, nil)
	port := p.url[strings.LastIndexByte(p.url, ':')+1:]
	ill := httptest.NewServer(http.NotFoundHandler())
	defer ill.Close()
	for _, test := range []struct {
		env    []string
		args   []string
		status int
	}{
		{nil, []string{"--url", p.url}, 0},
		{nil, []string{"--url", p.url + "/"}, 0},
		{nil, []string{"--url", p.url + "/readyz"}, 0},
		{nil, []string{"--url", p.url + "/nothing"}, 1},
		{nil, []string{"--port", port}, 0},
		{[]string{"PORT=" + port, "HOST=0.0.0.0"}, nil, 0},
		{[]string{"PORT=" + port, "HOST=::"}, nil, 0},
		{nil, []string{"--url", ill.URL}, 1},
		{[]string{"LOG_LEVEL=loud"}, nil, 1},
		{nil, []string{"--url", "http://127.0.0.1:1"}, 1},
		{nil, []string{"--url", "localhost"}, 1},
		{nil, []string{"--url", "ftp://localhost"}, 1},
	} {
		_, stderr, status := runToEnd(t, test.env, append([]string{"health"}, test.args...)...)
		wantLines := test.status // none where all is well
		if status != test.status || strings.Count(stderr, "\n") != wantLines {
			t.Errorf("health %q %q: exit %d with %q, want %d", test.env, test.args, status, stderr, test.status)
		}
	}
	p.stop()
}

// odd is a name that would break a line for some who read the log.
const odd = "ä\u0085\u2028\u009b31m\u202e\U000e0001"

// A session's log, from the real process: what is in it, and what is not.
func TestTheLog(t *testing.T) {
	p := start(t, nil)
	c := dial(t, p)
	for _, m := range []string{
		`{"action":"subscribe","key":"k","id":1}`, `{"action":"set","key":"k","value":1}`,
		`{"action":"dance"}`, "not\njson", `{"action":"set","key":"evil\u0000\n\"}","value":1}`,
		`{"action":"ping","id":"last"}`,
	} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	updates, size := 0, 0
	for {
		_, m, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		size += 2 + len(m)
		if len(m) > 125 {
			size += 2
		}
		if string(m) == `{"key":"k","value":1}` {
			updates++
		}
		if strings.HasPrefix(string(m), `{"id":"last"`) {
			break
		}
	}
	if updates == 0 { // it may come after the replies
		_, m, err := c.ReadMessage()
		if err != nil || string(m) != `{"key":"k","value":1}` {
			t.Fatalf("%s %v", m, err)
		}
		size += 2 + len(m)
	}
	p.call("POST", "/data/rest", `{"value":1}`)
	p.call("POST", "/data/"+url.PathEscape(odd), `{"value":1}`)
	p.call("POST", "/topics/talk", `{"value":1}`)
	p.call("GET", "/data/nothing%0a%22", "")
	p.call("GET", "/nothing", "")
	p.call("GET", "/healthz", "")
	p.call("GET", "/readyz", "")
	_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye\n"))
	p.await("session closed", 1)
	p.stop()

	byMessage := map[string][]map[string]any{}
	var order []string
	for _, e := range p.log() {
		m := e["message"].(string)
		byMessage[m] = append(byMessage[m], e)
		if !slices.Contains(order, m) {
			order = append(order, m)
		}
		if e["level"] != "info" {
			t.Errorf("level %v: %v", e["level"], e)
		}
	}
	if want := []string{"server started", "http request", "session opened", "session closed", "server draining", "server stopped"}; !slices.Equal(sorted(order), sorted(want)) {
		t.Errorf("events %q, want %q", order, want)
	}

	want := func(e map[string]any, fields map[string]any) {
		t.Helper()
		for k, v := range fields {
			if got, ok := e[k]; !ok || v != nil && got != v {
				t.Errorf("%v: %s is %v, want %v", e["message"], k, got, v)
			}
		}
	}
	want(p.started, map[string]any{
		"addr": nil, "version": nil, "max_value_bytes": 65536.0, "max_pending_bytes": 1048576.0, "flush_interval_ms": 2.0, "shutdown_grace_ms": 15000.0,
	})
	opened, closed := byMessage["session opened"][0], byMessage["session closed"][0]
	want(opened, map[string]any{"session": nil, "remote": c.LocalAddr().String()})
	want(closed, map[string]any{
		"session": opened["session"], "remote": c.LocalAddr().String(), "reason": "closed by client", "code": 1000.0,
		"duration_ms": nil, "received": 6.0, "delivered": 1.0, "conflated": 0.0, "dropped": 0.0,
	})
	if got := int(closed["bytes"].(float64)); got < size || got > size+100 { // and the close frame
		t.Errorf("session closed: %d bytes, want about %d", got, size)
	}
	requests := byMessage["http request"]
	if len(requests) != 6 { // no health checks
		t.Fatalf("%d requests logged: %v", len(requests), requests)
	}
	// The upgrade's line comes when the client has its answer already.
	slices.SortStableFunc(requests, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(b["route"] == "/ws"), fmt.Sprint(a["route"] == "/ws"))
	})
	want(requests[0], map[string]any{"method": "GET", "route": "/ws", "status": 101.0, "duration_ms": nil})
	want(requests[1], map[string]any{"method": "POST", "route": "/data/{key}", "status": 200.0, "key": "rest"})
	want(requests[2], map[string]any{"status": 200.0, "key": odd})
	for _, line := range p.lines {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("a line with more than printable characters: %q", line)
		}
	}
	want(requests[3], map[string]any{"method": "POST", "route": "/topics/{topic}", "status": 202.0, "topic": "talk"})
	want(requests[4], map[string]any{"method": "GET", "route": "/data/{key}", "status": 400.0, "code": "invalid_name"})
	want(requests[5], map[string]any{"method": "GET", "route": "none", "status": 404.0, "code": "not_found"})
	want(byMessage["server draining"][0], map[string]any{"reason": "terminated", "sessions": 0.0})
	want(byMessage["server stopped"][0], map[string]any{"duration_ms": nil})
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func TestTheLogForPeople(t *testing.T) {
	c := command(nil, "--port", "0", "--log-format", "console")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, err := io.ReadAtLeast(stderr, buffer, 20)
	if err != nil {
		t.Fatal(err)
	}
	if line := string(buffer[:n]); json.Valid(buffer[:n]) || !strings.Contains(line, "server started") || strings.Contains(line, "\x1b") {
		t.Errorf("logged %q, want a line for people, and no colours where there is no terminal", line)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, stderr)
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
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

func TestSignalsWithoutSessions(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, nil)
		p.call("POST", "/data/k", `{"value":1}`)
		began := time.Now()
		p.signal(s)
		if err := p.wait(); err != nil {
			t.Errorf("%v: %v, want exit status 0", s, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%v: it took %v to end", s, took)
		}
		p.await("server stopped", 1)
	}
}

// stubborn opens a session that will not answer the close frame, so that the
// drain takes its second.
func stubborn(t *testing.T, p *process) (c *websocket.Conn, gone chan int) {
	c = dial(t, p)
	gone = make(chan int, 1)
	c.SetCloseHandler(func(code int, _ string) error { gone <- code; return nil })
	go func() {
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}()
	p.await("session opened", 1)
	return c, gone
}

func TestASignalDrains(t *testing.T) {
	p := start(t, nil)
	_, gone := stubborn(t, p)
	p.signal(syscall.SIGTERM)
	if code := <-gone; code != 1012 {
		t.Errorf("the session was closed with %d, want 1012", code)
	}
	// The listener is still open, as long as the session is waited for.
	if status, text := p.call("GET", "/readyz", ""); status != 503 || !strings.Contains(text, "unavailable") {
		t.Errorf("/readyz: %d %s, want 503", status, text)
	}
	if err := p.wait(); err != nil {
		t.Errorf("%v, want exit status 0", err)
	}
	if e := p.await("session closed", 1)[0]; e["code"] != 1012.0 {
		t.Errorf("logged %v", e)
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	p := start(t, nil)
	_, gone := stubborn(t, p)
	p.signal(syscall.SIGTERM)
	<-gone
	p.signal(syscall.SIGTERM)
	err := p.wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("%v, want an end by the signal", err)
	}
}

// A second signal that comes before the first is dealt with counts as well.
func TestTwoSignalsAtOnce(t *testing.T) {
	p := start(t, nil)
	stubborn(t, p)
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGINT)
	err := p.wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("%v, want an end by the second signal", err)
	}
}

func TestAPanicIsLoggedAsText(t *testing.T) {
	var out bytes.Buffer
	logPanic(zerolog.New(&out), keyspace.Panic{Target: keyspace.Key("k"), Value: errors.New("store: broken"), Stack: []byte("goroutine 1\nmain.go:1")})
	want := `{"level":"error","key":"k","error":"store: broken","stack":"goroutine 1\nmain.go:1","message":"actor panicked"}` + "\n"
	if out.String() != want {
		t.Errorf("logged %s, want %s", out.String(), want)
	}
}

func TestTheGraceIsALimit(t *testing.T) {
	p := start(t, nil, "--shutdown-grace", "300ms")
	stubborn(t, p)
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to end with a grace of 300ms", took)
	}
	if e := p.log(); e[len(e)-1]["message"] != "server stopped" {
		t.Errorf("the last line is %v", e[len(e)-1])
	}
}

// In memory nothing outlives a kill, but versions go on rising.
func TestVersionsRiseOverAKill(t *testing.T) {
	version := func(p *process) (v uint64) {
		t.Helper()
		_, text := p.call("POST", "/data/k", `{"value":1}`)
		var answer struct{ Version uint64 }
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Version
	}
	p := start(t, nil)
	before := version(p)
	p.signal(os.Kill)
	_ = p.wait()
	p = start(t, nil)
	if after := version(p); after <= before {
		t.Errorf("version %d after the restart, %d before", after, before)
	}
	p.stop()
}
