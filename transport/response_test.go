package transport_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"rtdb/keyspace"
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

// Over HTTP/2 no response has a header that is only for one connection: clients take it for
// a protocol error (RFC 9113, section 8.2.2). A refusal does not end the other requests of
// the connection.
func TestHTTP2(t *testing.T) {
	w := newWire(t, transport.Options{MaxValueBytes: 1000})
	server := httptest.NewUnstartedServer(w.Server)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	connections := 0
	call := func(method, path, body string, status int, want string) *http.Response {
		t.Helper()
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
			if !c.Reused {
				connections++
			}
		}})
		r, err := http.NewRequestWithContext(ctx, method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if strings.HasPrefix(body, "[") {
			r.Header.Set("Content-Type", "application/json-patch+json")
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		for _, header := range []string{"Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding"} {
			if got := answer.Header.Get(header); got != "" {
				t.Errorf("%s %s: %s: %s", method, path, header, got)
			}
		}
		if path == "/events?key=k" { // it has no end
			return answer
		}
		text, err := io.ReadAll(answer.Body)
		if closed := answer.Body.Close(); err != nil || closed != nil {
			t.Errorf("%s %s: %v, %v", method, path, err, closed)
		}
		if answer.ProtoMajor != 2 || answer.StatusCode != status || !strings.Contains(string(text), want) {
			t.Errorf("%s %s: %s %s %s, want %d with %s", method, path, answer.Proto, answer.Status, text, status, want)
		}
		return answer
	}
	stream := call("GET", "/events?key=k", "", 200, "")
	events := bufio.NewReader(stream.Body)
	await := func(want string) {
		t.Helper()
		for line := ""; !strings.Contains(line, want); {
			var err error
			if line, err = events.ReadString('\n'); err != nil {
				t.Fatalf("the stream ended before %s: %v", want, err)
			}
		}
	}
	await("id:")
	call("GET", "/ws", "", 426, "connect to it over HTTP/1.1")
	call("HEAD", "/ws", "", 426, "")
	call("PUT", "/data/k", `{"value":"`+strings.Repeat("x", 2<<20)+`"}`, 413, "too_large")
	call("PATCH", "/data/k", "["+strings.Repeat(" ", 700<<10)+"]", 415, "unsupported_media_type")
	call("DELETE", "/ws", "", 405, "method_not_allowed")
	call("PUT", "/data/k", `{"value":1}`, 200, "")
	await(`"value":1`)
	if connections != 1 {
		t.Errorf("%d connections, want 1 for all requests", connections)
	}

	// Draining sends clients to a new connection, and so to another server.
	gate, arrived := make(chan struct{}), make(chan struct{})
	w.store.hold(func(keyspace.Record) { close(arrived); <-gate })
	w.dial(t).send(`{"action":"set","key":"slow","value":1}`)
	<-arrived
	ended := w.startShutdown(t, patience)
	for _, path := range []string{"/ws", "/data/k", "/readyz"} {
		call("GET", path, "", 503, "unavailable")
	}
	call("PUT", "/data/k", `{"value":2}`, 503, "unavailable")
	close(gate)
	if _, err := io.Copy(io.Discard, events); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	client.CloseIdleConnections()
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
