package transport_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rtdb/transport"
)

// raw sends bytes on a connection of their own and returns all that comes back.
func (w *wire) raw(t *testing.T, send string) string {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	// All of it before reading a byte: the worst client for a server that
	// answers early.
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatalf("the server did not take the whole request: %v", err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(answer.StatusCode, " ", string(body))
}

func TestBodiesThatAreTooLargeAreAnswered(t *testing.T) {
	w := newWire(t, transport.Options{MaxValueBytes: 1000})
	const limit = 1<<20 + 1000
	head := "POST /data/k HTTP/1.1\r\nHost: localhost\r\n"
	for name, request := range map[string]string{
		"one byte more": head + fmt.Sprintf("Content-Length: %d\r\n\r\n", limit+1) + strings.Repeat(" ", limit+1),
		"far more":      head + fmt.Sprintf("Content-Length: %d\r\n\r\n", 30<<20) + strings.Repeat(" ", 30<<20),
		"in chunks": head + "Transfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("10000\r\n"+strings.Repeat(" ", 0x10000)+"\r\n", 100) + "0\r\n\r\n",
		"with 100-continue": head + fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", 30<<20),
	} {
		t.Run(name, func(t *testing.T) {
			if got := w.raw(t, request); !strings.HasPrefix(got, `413 {"error":{"code":"too_large"`) {
				t.Errorf("answered %s, want 413", got)
			}
		})
	}
	// The limit itself is no limit, and the value counts as it is kept.
	body := `{"value":` + strings.Repeat(" ", limit-1010) + `"` + strings.Repeat("x", 998) + `"}`
	w.want(t, "POST", "/data/k", body, 200, `"value":"xxx`)
	w.want(t, "POST", "/data/k", `{"value":"`+strings.Repeat("x", 999)+`"}`, 413, "too_large")
}

func TestBodiesThatAreNotUTF8(t *testing.T) {
	w := newWire(t, transport.Options{})
	for body, code := range map[string]string{
		"{\"value\":\"\xff\"}":         "invalid_value",
		"{\"value\":\"\xed\xa0\x80\"}": "invalid_value",
		"{\"value\":[\"\xc0\x80\"]}":   "invalid_value",
		"{\"\xff\":1}":                 "invalid_request",
		"\xff":                         "invalid_request",
		"\xef\xbb\xbf{\"value\":1}":    "invalid_request", // a byte order mark
	} {
		answer, text := w.call(t, "POST", "/data/k", body)
		if got := errorCode(t, text); answer.StatusCode != 400 || got != code {
			t.Errorf("%q: %d %s, want 400 %s", body, answer.StatusCode, text, code)
		}
	}
	w.want(t, "GET", "/data/k", "", 404, "not_found")
}

func TestRequestsForNoPath(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, method := range []string{"GET", "POST"} {
		if got := w.raw(t, method+" * HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.HasPrefix(got, `404 {"error":{"code":"not_found"`) {
			t.Errorf("%s *: %s, want 404", method, got)
		}
	}
}

func TestHeaders(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, test := range []struct{ method, path, body string }{
		{"POST", "/data/k", `{"value":1}`}, {"GET", "/data/k", ""}, {"HEAD", "/data/k", ""},
		{"GET", "/data/nothing", ""}, {"POST", "/topics/t", `{"value":1}`}, {"GET", "/nothing", ""},
	} {
		answer, _ := w.call(t, test.method, test.path, test.body)
		if got := answer.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: Content-Type %q", test.method, test.path, got)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s: Cache-Control %q", test.method, test.path, got)
		}
	}
	get, text := w.call(t, "GET", "/data/k", "")
	head, none := w.call(t, "HEAD", "/data/k", "")
	if none != "" || head.ContentLength != get.ContentLength || int(get.ContentLength) != len(text) {
		t.Errorf("HEAD has %d bytes and says %d, GET says %d of %d", len(none), head.ContentLength, get.ContentLength, len(text))
	}
	if answer, _ := w.call(t, "DELETE", "/data/k", ""); answer.Header.Get("Cache-Control") != "no-store" {
		t.Error("DELETE: no Cache-Control")
	}
}

// A body with any Content-Type, or none, is JSON: curl -d sends a form's.
func TestContentTypesDoNotMatter(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "nonsense"} {
		r, err := http.NewRequest("POST", "http://"+w.addr+"/data/k", strings.NewReader(`{"value":1}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != 200 {
			t.Errorf("Content-Type %q: %s", kind, answer.Status)
		}
	}
}

// Requests that are odd in ways that net/http lets through.
func TestOddRequests(t *testing.T) {
	w := newWire(t, transport.Options{})
	for request, want := range map[string]string{
		"GET http://localhost/data/k HTTP/1.1\r\nHost: localhost\r\n\r\n":                                "404 ",
		"GET /data/k HTTP/1.0\r\n\r\n":                                                                   "404 ",
		"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n":                                    "404 ",
		"PROPFIND /data/k HTTP/1.1\r\nHost: localhost\r\n\r\n":                                           "405 ",
		strings.Repeat("X", 5000) + " /data/k HTTP/1.1\r\nHost: localhost\r\n\r\n":                       "405 ",
		"GET /data/" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n":                "400 ",
		"GET /data/k?" + strings.Repeat("x", 5000) + "=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n":         "400 ",
		"POST /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n":                          "400 ",
		"DELETE /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n{\"value\":1}":          "404 ",
		"GET /ws HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n":                          "426 ",
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                  "204 ",
		"GET /data/k HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 60<<10) + "\r\n\r\n":      "404 ",
		"GET /topics/k%0d%0aInjected:%20x HTTP/1.1\r\nHost: localhost\r\n\r\n":                           "405 ",
		"GET /data/k%0a%7b%22level%22:%22error%22%7d HTTP/1.1\r\nHost: localhost\r\n\r\n":                "400 ",
		"POST /data/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n":           "400 ",
		"POST /data/k HTTP/1.1\r\nHost: localhost\r\nX: \x1b[31m\"}\x00\r\nContent-Length: 0\r\n\r\n":    "400 ",
		"GET /data/%e2%80%a8%22%7d%1b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \"}{\\\"x\\\":\r\n\r\n": "400 ",
	} {
		if got := w.raw(t, request); !strings.HasPrefix(got, want) {
			t.Errorf("%.60q: %s, want %s", request, got, want)
		}
	}
	for _, e := range w.log.lines(t, "http request") { // parses every line
		if len(fmt.Sprint(e)) > 2000 {
			t.Errorf("a long line in the log: %.200v…", e)
		}
	}
}

// Nothing that comes from a client gets a line of its own in the log, or a
// field that it should not have.
func TestTheLogCannotBeForged(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	evil := `x","level":"error","message":"forged\n{"level":"fatal"}`
	p.send(`{"action":"set","key":` + quote(evil) + `,"value":1}`)
	p.send(`{"action":` + quote(evil) + `}`)
	p.send(`{"action":"set","key":"quoted\"},{\\","value":1,"id":1}`)
	p.ask2(`{"action":"ping"}`, `{"action":"pong"}`)
	_, _ = w.call(t, "GET", "/data/quoted%22%7D,%7B%5C", "")
	if lines := w.log.lines(t, "forged"); len(lines) != 0 {
		t.Errorf("forged: %v", lines)
	}
	for line := range bytes.Lines([]byte(w.log.text())) {
		for _, level := range []string{`"level":"error"`, `"level":"fatal"`} {
			if bytes.Contains(line, []byte(level)) {
				t.Errorf("forged: %s", line)
			}
		}
	}
}
