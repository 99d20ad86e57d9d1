package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

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
		wantLines := test.status // no line if the server is healthy
		if status != test.status || strings.Count(stderr, "\n") != wantLines {
			t.Errorf("health %q %q: exit %d with %q, want %d", test.env, test.args, status, stderr, test.status)
		}
	}
	p.stop()
}
