package transport_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// call makes a request with headers, which are names and values in turn, and returns the
// response and its body. The path is sent as it is.
func (w *wire) call(t testing.TB, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+w.addr, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = "//" + w.addr + path
	if method == http.MethodOptions && path == "*" {
		r.URL.Opaque = "*"
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer, string(text)
}

// want makes a request and expects a status and a part of the body.
func (w *wire) want(t testing.TB, method, path, body string, status int, want string) {
	t.Helper()
	answer, text := w.call(t, method, path, body)
	if answer.StatusCode != status || !strings.Contains(text, want) {
		t.Errorf("%s %s %.80s: %d %s, want %d with %s", method, path, body, answer.StatusCode, text, status, want)
	}
}

// with makes a request with headers, which are names and values in turn. It expects
// that an error has a JSON body, and the key's version if the status is 412.
func (w *wire) with(t testing.TB, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	_, err = text.ReadFrom(answer.Body)
	if closed := answer.Body.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	if answer.StatusCode >= 400 && method != http.MethodHead {
		var f struct {
			Error struct {
				Code    string
				Version *uint64
			}
		}
		if err := json.Unmarshal(text.Bytes(), &f); err != nil || f.Error.Code == "" {
			t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, &text)
		}
		if mismatch := answer.StatusCode == http.StatusPreconditionFailed; mismatch != (f.Error.Version != nil) ||
			mismatch != (f.Error.Code == "version_mismatch") {
			t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, &text)
		}
	}
	return answer
}

// get makes a GET with headers, which are names and values in turn, and returns the
// response and its body, which must end.
func (w *wire) get(t testing.TB, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+w.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer answer.Body.Close()
	return answer, string(must(io.ReadAll(answer.Body)))
}

// try makes a request with headers and returns "status code" and the response, whose body
// is closed. It expects Retry-After exactly with the codes limit_reached and rate_limited.
func (w *wire) try(t testing.TB, method, path, body string, headers ...string) (string, *http.Response) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode < 400 || method == http.MethodHead { // an event stream has no end
		return strconv.Itoa(answer.StatusCode), answer
	}
	code := errorCode(t, string(must(io.ReadAll(answer.Body))))
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	if limited := code == "limit_reached" || code == "rate_limited"; limited != (seconds > 0) {
		t.Errorf("%s %s: %s with Retry-After %q", method, path, code, answer.Header.Get("Retry-After"))
	}
	return fmt.Sprint(answer.StatusCode, " ", code), answer
}

// wantTry calls try and expects "status code".
func (w *wire) wantTry(t testing.TB, want, method, path, body string, headers ...string) {
	t.Helper()
	if got, _ := w.try(t, method, path, body, headers...); got != want {
		t.Errorf("%s %s %.60s %.60q: %s, want %s", method, path, body, headers, got, want)
	}
}

// asWebSocket are the headers of a WebSocket handshake.
var asWebSocket = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
	"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}

// raw sends bytes on a connection of its own and returns the status and the body of the
// response.
func (w *wire) raw(t *testing.T, send string) string {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	// It writes everything before it reads. That is the worst client for a server
	// that answers early.
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

// errorCode returns the code in an error body or reply, or "" if it is not an error.
func errorCode(t testing.TB, text string) string {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Errorf("not JSON: %q", text)
	}
	if body.Error.Code != "" && len(body.Error.Message) < 10 {
		t.Errorf("no message to act on: %s", text)
	}
	return body.Error.Code
}
