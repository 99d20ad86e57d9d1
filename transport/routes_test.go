package transport_test

import (
	"fmt"
	"strings"
	"testing"

	"rtdb/transport"
)

func TestRequestsWithoutAPathAreNotFound(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, method := range []string{"GET", "POST"} {
		if got := w.raw(t, method+" * HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.HasPrefix(got, `404 {"error":{"code":"not_found"`) {
			t.Errorf("%s *: %s, want 404", method, got)
		}
	}
}

// A letter of the path that is escaped without need is the same letter (RFC 3986, section
// 6.2.2.2), but an escaped slash does not part segments.
func TestEscapedSegments(t *testing.T) {
	w := newWire(t, transport.Options{})
	for line, want := range map[string]string{
		"OPTIONS /%64ata/a": "204 ",
		"GET /top%69cs/a":   "405 ",
		"OPTIONS /data%2Fa": "404 ",
		"OPTIONS //data/a":  "404 ",
		"OPTIONS /data/../": "204 ", // of the key "../", which is no name
	} {
		if got := w.raw(t, line+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// Odd requests that net/http lets through are answered with a fitting status.
func TestOddRequestsAreAnswered(t *testing.T) {
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
	for _, e := range w.log.lines(t, "http request") { // lines parses every line
		if len(fmt.Sprint(e)) > 2000 {
			t.Errorf("a long line in the log: %.200v…", e)
		}
	}
}
