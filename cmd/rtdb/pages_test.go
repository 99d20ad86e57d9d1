package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory of pages is served from the server's own origin, and a mistake in its name
// ends the start.
func TestPublic(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "index.html")
	if err := os.WriteFile(file, []byte("<!doctype html>home"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"PUBLIC=" + dir}, "--console=false")
	for path, want := range map[string]int{"/": 200, "/index.html": 200, "/console/": 404, "/rtdb.js": 200, "/missing.html": 404} {
		if status, body := p.call("GET", path, ""); status != want || path == "/" && body != "<!doctype html>home" {
			t.Errorf("GET %s: %d %s, want %d", path, status, body, want)
		}
	}
	p.await("http request", 5)

	for _, wrong := range []string{filepath.Join(dir, "missing"), file} {
		_, stderr, status := runToEnd(t, nil, "--public", wrong)
		if status != exitBadUsage || !strings.HasPrefix(stderr, "rtdb: --public") || !strings.Contains(stderr, wrong) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("--public %s: exit status %d and %q", wrong, status, stderr)
		}
	}
}

// A browser at the server's address gets the console.
func TestTheConsoleIsAtTheServersAddress(t *testing.T) {
	p := start(t, []string{"JWT_SECRET=" + testSecret})
	r, err := http.NewRequest("GET", p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Accept", "text/html")
	answer, err := http.DefaultClient.Do(r) // it follows
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Request.URL.Path != "/console/" {
		t.Errorf("%d at %s, want the console", answer.StatusCode, answer.Request.URL)
	}
}
