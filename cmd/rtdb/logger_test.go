package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// odd is a name that would break a log line for some readers.
const odd = "ä\u0085\u2028\u009b31m\u202e\U000e0001"

// The log of a session has exactly the documented events and fields.
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
		"addr": nil, "version": nil, "max_value_bytes": 65536.0, "max_pending_bytes": 1048576.0, "flush_interval_ms": 1.0, "shutdown_grace_ms": 15000.0,
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

// A console line begins with what people look for. The limits in force are at debug.
func TestConsoleLog(t *testing.T) {
	for level, wantLimits := range map[string]bool{"info": false, "debug": true} {
		c := command(nil, "--port", "0", "--log-format", "Console", "--log-level", level)
		stderr, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(stderr)
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		started := regexp.MustCompile(`^\S+Z INF server started addr=(\S+) listeners=\[.*\] version=\S+\n$`).FindStringSubmatch(line)
		if started == nil {
			t.Fatalf("logged %q, want a plain line, and no colours without a terminal", line)
		}
		answer, err := http.Post("http://"+started[1]+"/data/k", "application/json", strings.NewReader(`{"value":1}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		_ = c.Process.Signal(syscall.SIGTERM)
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
		if want := regexp.MustCompile(`(?m)^\S+ INF http request POST /data/{key} 200 key=k duration_ms=[0-9.]+ remote=\S+$`); !want.Match(rest) {
			t.Errorf("logged\n%swant a line like %s", rest, want)
		}
		if got := strings.Contains(string(rest), "DBG limits in force flush_interval_ms=1 "); got != wantLimits {
			t.Errorf("at %s: the limits are logged: %v, want %v", level, got, wantLimits)
		}
		if strings.Contains(string(rest), "rtdb is ready") {
			t.Errorf("a log that is not a terminal has the words for people:\n%s", rest)
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

// What a client sent cannot forge a console line, not even in a method.
func TestConsoleLineWithOddValues(t *testing.T) {
	var out strings.Builder
	log := zerolog.New(consoleWriter(&out, false))
	log.Info().Str("method", "GE\nT\x1b[31m").Str("route", "/data/{key}").Int("status", 400).Str("key", odd+"\n").Str("error", "x y").Msg("http request")
	want := `<nil> INF http request "GE\nT\x1b[31m" /data/{key} 400 error="x y" key="ä\u0085\u2028\u009b31m\u202e\U000e0001\n"` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
}
