//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rtdb/transport/transporttest"
)

// follow opens event streams in the page. Each event is noted in the page's seen, as
// "number of the stream, kind, data".
func follow(t *testing.T, p *transporttest.Page, urls ...string) {
	t.Helper()
	list, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	p.Run(fmt.Sprintf(`seen = []
		sources = %s.map((url, i) => {
			const source = new EventSource(url)
			for (const kind of ["message", "synced", "end", "error"])
				source.addEventListener(kind, e => seen.push([i, kind, e.data ?? ""].join(" ")))
			return source
		})
		""`, list), nil)
}

// awaitSeen waits until the page has seen an event that matches a regular expression,
// among those from the one with the number from on. It returns the number behind it.
func awaitSeen(t *testing.T, p *transporttest.Page, from int, pattern string) (next int) {
	t.Helper()
	find := fmt.Sprintf(`seen.findIndex((e, i) => i >= %d && /%s/.test(e))`, from, pattern)
	p.Await(find + ` >= 0`)
	p.Run(find, &next)
	return next + 1
}

// servePages serves empty pages, at every path and under every name, and returns the port.
func servePages(t *testing.T) (port string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html>"))
	}))
	t.Cleanup(s.Close)
	return s.URL[strings.LastIndex(s.URL, ":")+1:]
}
