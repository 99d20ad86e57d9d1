package transport_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// BenchmarkWritesREST measures writes of 50 clients by REST, each of which keeps its connection
// and waits for each reply. It compares with a handler of net/http that reads the same bodies
// and sends them back. With the headers that rtdb needs, and package net's deadlines, that
// handler has 0.91 of its own rate, and 0.88 if its reply is as long as rtdb's, too.
func BenchmarkWritesREST(b *testing.B) {
	compareWrites(b, 1, restWrites{}, "echo")
}

// restWrites write by REST.
type restWrites struct{}

func (restWrites) begin(*socket) error { return nil }

func (restWrites) request(key string) []byte {
	body := fmt.Appendf(nil, `{"value":%s}`, sampleValue)
	return fmt.Appendf(nil, "POST /data/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
}

func (restWrites) reply(s *socket) (int, error) {
	header, err := s.receiveHeader(http.StatusOK)
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(header, []byte("\r\nContent-Length: "))
	text, _, _ := bytes.Cut(after, []byte("\r\n"))
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return 0, fmt.Errorf("the length of the answer %s: %w", header, err)
	}
	_, err = s.receive(n)
	return len(header) + n, err // the number of digits of a version or a time does not change
}

// serveEcho serves a handler that answers with the request's body.
func serveEcho(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			_, _ = w.Write(body)
		}
	}))
}
