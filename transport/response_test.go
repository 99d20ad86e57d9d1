package transport_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"rtdb/transport"
)

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
	// A body of exactly the limit is accepted. Of a value, the compact form counts.
	body := `{"value":` + strings.Repeat(" ", limit-1010) + `"` + strings.Repeat("x", 998) + `"}`
	w.want(t, "POST", "/data/k", body, 200, `"value":"xxx`)
	w.want(t, "POST", "/data/k", `{"value":"`+strings.Repeat("x", 999)+`"}`, 413, "too_large")
}

func TestHeadersOfEveryResponse(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, test := range []struct{ method, path, body string }{
		{"POST", "/data/k", `{"value":1}`}, {"GET", "/data/k", ""}, {"HEAD", "/data/k", ""},
		{"GET", "/data/nothing", ""}, {"POST", "/topics/t", `{"value":1}`}, {"GET", "/nothing", ""},
	} {
		answer, _ := w.call(t, test.method, test.path, test.body)
		if got := answer.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: Content-Type %q", test.method, test.path, got)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store, no-transform" {
			t.Errorf("%s %s: Cache-Control %q", test.method, test.path, got)
		}
	}
	get, text := w.call(t, "GET", "/data/k", "")
	head, none := w.call(t, "HEAD", "/data/k", "")
	if none != "" || head.ContentLength != get.ContentLength || int(get.ContentLength) != len(text) {
		t.Errorf("HEAD has %d bytes and says %d, GET says %d of %d", len(none), head.ContentLength, get.ContentLength, len(text))
	}
	if answer, _ := w.call(t, "DELETE", "/data/k", ""); answer.Header.Get("Cache-Control") != "no-store, no-transform" {
		t.Error("DELETE: no Cache-Control")
	}
}

// Text that a client sends never becomes a line or a field of the log.
func TestClientsCannotForgeFieldsOfTheLog(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	evil := `x","level":"error","message":"forged\n{"level":"fatal"}`
	p.send(`{"action":"set","key":` + quote(evil) + `,"value":1}`)
	p.send(`{"action":` + quote(evil) + `}`)
	p.send(`{"action":"set","key":"quoted\"},{\\","value":1,"id":1}`)
	p.askAmong(`{"action":"ping"}`, `{"action":"pong"}`)
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
