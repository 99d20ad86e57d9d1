package transport_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rtdb/transport"
)

// A key expires after its time to live, which each kind of write can set.
func TestKeysExpireAfterTheirTimeToLive(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	p.ask(`{"action":"subscribe","pattern":"#","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	p.send(`{"action":"set","key":"a","value":1,"ttl":0.05}`)
	p.want(`{"key":"a","value":1}`, `{"key":"a","value":null,"deleted":true}`)
	p.send(`{"action":"patch","key":"b","value":1,"ttl":0.05}`)
	p.want(`{"key":"b","value":1}`, `{"key":"b","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/c", `{"value":1,"ttl":0.05}`, 200, "")
	p.want(`{"key":"c","value":1}`, `{"key":"c","value":null,"deleted":true}`)
	w.want(t, "POST", "/data", `{"items":[{"key":"d","value":1,"ttl":0.05}]}`, 200, "")
	p.want(`{"key":"d","value":1}`, `{"key":"d","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/e", `{"value":1,"ttl":0.1}`, 200, "")
	w.want(t, "PATCH", "/data/e", `2`, 200, "") // a patch keeps the time to live
	p.want(`{"key":"e","value":1}`, `{"key":"e","value":2}`, `{"key":"e","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/f", `{"value":1,"ttl":0.05}`, 200, "")
	w.want(t, "POST", "/data/f", `{"value":2}`, 200, "") // a set clears it
	p.want(`{"key":"f","value":1}`, `{"key":"f","value":2}`)
	w.want(t, "POST", "/data/g", `{"value":1,"ttl":0.2}`, 200, "")
	p.want(`{"key":"g","value":1}`, `{"key":"g","value":null,"deleted":true}`)
	w.want(t, "GET", "/data/f", "", 200, `"value":2`)
	w.want(t, "GET", "/data/g", "", 404, "")
}

// A body without a Content-Type, or with one that clients send along with JSON, is read as
// JSON: curl -d sends that of a form.
func TestContentTypesThatDoNotMatter(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8",
		"application/octet-stream", "application/vnd.api+json", "nonsense"} {
		for _, method := range []string{"POST", "PATCH"} {
			answer := w.with(t, method, "/data/k", `{"value":1}`, "Content-Type", kind, "Content-Encoding", "identity", "Accept", "text/xml")
			if answer.StatusCode != 200 {
				t.Errorf("%s with the Content-Type %q: %s", method, kind, answer.Status)
			}
		}
	}
	for _, method := range []string{"GET", "DELETE"} { // they have no body, whatever the headers say
		answer := w.with(t, method, "/data/k", "", "Content-Type", "application/xml", "Content-Encoding", "gzip", "Accept", "text/xml")
		if answer.StatusCode >= 300 {
			t.Errorf("%s: %s", method, answer.Status)
		}
	}
}

// A body in a format that is known and cannot be read is refused by each call that takes a
// body, and the response says what to send.
func TestFormatsThatCannotBeRead(t *testing.T) {
	w := newWire(t, transport.Options{Level: &testLevel{level: "info"}})
	w.want(t, "PUT", "/data/k", `{"value":{"a":1}}`, 200, "")
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/data/k", `{"value":2}`}, {"PUT", "/data/k", `{"value":2}`}, {"PATCH", "/data/k", `[{"op":"remove","path":"/a"}]`},
		{"POST", "/data", `{"items":[{"key":"k","value":2}]}`}, {"POST", "/topics/t", `{"value":2}`}, {"PUT", "/log-level", `{"level":"debug"}`},
	} {
		accept := "Accept: application/json"
		if c.method == "PATCH" {
			accept = "Accept-Patch: application/merge-patch+json"
		}
		for header, want := range map[string]string{
			"Content-Type: application/json-patch+json":      accept,
			"Content-Type: application/xml":                  accept,
			"Content-Type: multipart/form-data; boundary=x":  accept,
			"Content-Type: application/json; charset=utf-16": accept,
			"Content-Encoding: gzip":                         "Accept-Encoding: identity",
			"Content-Encoding: br":                           "Accept-Encoding: identity",
		} {
			name, value, _ := strings.Cut(header, ": ")
			answer, text := w.call(t, c.method, c.path, c.body, name, value)
			acceptName, acceptValue, _ := strings.Cut(want, ": ")
			if answer.StatusCode != 415 || errorCode(t, text) != "unsupported_media_type" || answer.Header.Get(acceptName) != acceptValue {
				t.Errorf("%s %s with %s: %s %s and %s %q, want 415 and %s", c.method, c.path, header, answer.Status, text,
					acceptName, answer.Header.Get(acceptName), want)
			}
		}
	}
	w.want(t, "GET", "/data/k", "", 200, `"value":{"a":1}`)
	if answer, _ := w.call(t, "OPTIONS", "/data/k", ""); answer.Header.Get("Accept-Patch") != "application/merge-patch+json" {
		t.Errorf("OPTIONS: Accept-Patch %q", answer.Header.Get("Accept-Patch"))
	}
}

// What the first bytes of a body say is in the message, if nothing was declared.
func TestBodiesThatAreEncodedWithoutAWord(t *testing.T) {
	w := newWire(t, transport.Options{})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(`{"value":1}`)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"PUT", "PATCH"} {
		w.want(t, method, "/data/k", zipped.String(), 400, "the body is compressed by gzip")
		w.want(t, method, "/data/k", "\xff\xfe{\x00", 400, "the body is in UTF-16")
	}
	answer, text := w.call(t, "PUT", "/data/k", `{"value":1}`, "Content-Range", "bytes 0-10/20")
	if answer.StatusCode != 400 || !strings.Contains(text, "Content-Range") {
		t.Errorf("a part of a value: %s %s", answer.Status, text)
	}
	w.want(t, "GET", "/data/k", "", 404, "")
}

// A body in the wrong format is refused before it is read, and the connection can be used
// for the next request.
func TestARefusedFormatLeavesTheConnectionOpen(t *testing.T) {
	w := newWire(t, transport.Options{})
	const head = "PATCH /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json-patch+json\r\n"
	const long = 700 << 10 // longer than what net/http skips by itself
	for name, c := range map[string]struct{ head, body string }{
		"no body":    {head + "Content-Length: 0\r\n\r\n", ""},
		"short":      {head + "Content-Length: 2\r\n\r\n", "[]"},
		"long":       {head + fmt.Sprintf("Content-Length: %d\r\n\r\n", long), strings.Repeat(" ", long)},
		"in chunks":  {head + "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("10000\r\n"+strings.Repeat(" ", 0x10000)+"\r\n", 10) + "0\r\n\r\n"},
		"compressed": {"PUT /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", "\x1f\x8b3456789"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			r := bufio.NewReader(conn)
			for range 2 {
				if _, err := io.WriteString(conn, c.head); err != nil {
					t.Fatal(err)
				}
				answer, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				if err != nil || answer.StatusCode != 415 || answer.Close {
					t.Fatalf("%s %s, %v, closes %v", answer.Status, body, err, answer.Close)
				}
				if _, err := io.WriteString(conn, c.body); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != 200 {
				t.Errorf("the next request: %v, %v", answer, err)
			}
		})
	}
	expecting := head + "Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n"
	if got := w.raw(t, expecting); !strings.HasPrefix(got, `415 {"error":{"code":"unsupported_media_type"`) {
		t.Errorf("with 100-continue: %s", got)
	}
}
