package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

func TestMain(m *testing.M) {
	transporttest.Parallel(4)
	goleak.VerifyTestMain(m)
}

// get sends a request without following redirects, and returns the response with its body
// as it was sent.
func get(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r.Close = true
	answer, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// folder makes a folder of files by their paths, and opens it.
func folder(t *testing.T, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// wantJSONError checks that a response is an error of the API.
func wantJSONError(t *testing.T, what string, answer *http.Response, body string, status int, code string) {
	t.Helper()
	if answer.StatusCode != status || !strings.Contains(body, `"code":"`+code+`"`) || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %d %s, want %d %s", what, answer.StatusCode, body, status, code)
	}
}

// The client and the console need no token, carry the headers that protect a browser, and
// are sent again only if they have changed.
func TestTheProgramsFilesAreServed(t *testing.T) {
	server := transporttest.NewServer(t, transport.Options{Console: true, Keys: transporttest.Keys(t)})
	for path, kind := range map[string]string{
		"/rtdb.js": "text/javascript; charset=utf-8", "/rtdb.d.ts": "text/plain; charset=utf-8",
		"/console/": "text/html; charset=utf-8", "/console/index.html": "text/html; charset=utf-8",
	} {
		plain, text := get(t, "GET", server.URL()+path+"?v=1;2")
		h := plain.Header
		if plain.StatusCode != 200 || text == "" || h.Get("Content-Type") != kind || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("GET %s: %d %v", path, plain.StatusCode, h)
		}
		zipped, content := get(t, "GET", server.URL()+path, "Accept-Encoding", "br, gzip")
		unzip, err := gzip.NewReader(strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(unzip); err != nil || string(got) != text {
			t.Errorf("%s compressed has another content (%v)", path, err)
		}
		tag, zippedTag := h.Get("ETag"), zipped.Header.Get("ETag")
		if tag == "" || zippedTag == "" || tag == zippedTag {
			t.Errorf("%s: ETag %s, and compressed %s", path, tag, zippedTag)
		}
		if again, body := get(t, "GET", server.URL()+path, "If-None-Match", tag); again.StatusCode != 304 || body != "" {
			t.Errorf("GET %s again: %d, want 304", path, again.StatusCode)
		}
		if head, body := get(t, "HEAD", server.URL()+path); head.StatusCode != 200 || body != "" || head.Header.Get("ETag") != tag {
			t.Errorf("HEAD %s: %d %q", path, head.StatusCode, body)
		}
		for _, refusal := range []string{"gzip;q=0", "gzip; q=0.0", "identity", "*;q=0"} {
			if answer, _ := get(t, "GET", server.URL()+path, "Accept-Encoding", refusal); answer.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s with Accept-Encoding %s is compressed", path, refusal)
			}
		}
		answer, body := get(t, "POST", server.URL()+path)
		wantJSONError(t, "POST "+path, answer, body, 405, "method_not_allowed")
	}
	for path, may := range map[string]bool{"/rtdb.js": true, "/rtdb.d.ts": true, "/console/": false, "/healthz": false} {
		answer, _ := get(t, "GET", server.URL()+path, "Origin", "https://other.example")
		if read := answer.StatusCode == 200 && answer.Header.Get("Access-Control-Allow-Origin") == "*"; read != may {
			t.Errorf("%s for a page of another origin: %d %v", path, answer.StatusCode, answer.Header)
		}
	}
	answer, body := get(t, "GET", server.URL()+"/console/nothing.js")
	wantJSONError(t, "a file that the console lacks", answer, body, 404, "not_found")
	answer, body = get(t, "GET", server.URL()+"/data/k")
	wantJSONError(t, "a key", answer, body, 401, "unauthorized")
}

// The server sends a browser that opens its address to the console. It does not send programs
// there, and nobody if the console is turned off.
func TestTheRootLeadsABrowserToTheConsole(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	with := transporttest.NewServer(t, transport.Options{Console: true})
	if answer, _ := get(t, "GET", with.URL()+"/", "Accept", browser); answer.StatusCode != 302 || answer.Header.Get("Location") != "./console/" {
		t.Errorf("GET / of a browser: %d to %s", answer.StatusCode, answer.Header.Get("Location"))
	}
	answer, body := get(t, "GET", with.URL()+"/", "Accept", "*/*")
	wantJSONError(t, "GET / of curl", answer, body, 404, "not_found")
	answer, body = get(t, "POST", with.URL()+"/nothing", "Accept", browser)
	wantJSONError(t, "POST /nothing", answer, body, 404, "not_found")

	without := transporttest.NewServer(t, transport.Options{})
	for _, path := range []string{"/", "/console", "/console/", "/console/index.html"} {
		answer, body := get(t, "GET", without.URL()+path, "Accept", browser)
		if path == "/console" && answer.StatusCode == http.StatusTemporaryRedirect {
			continue // the router completes the path, and then there is nothing
		}
		wantJSONError(t, "without a console, "+path, answer, body, 404, "not_found")
	}
}

// A folder of the user's pages is served beside the API, and never in its place.
func TestAPublicFolder(t *testing.T) {
	root := folder(t, map[string]string{
		"index.html": "home", "app.mjs": "export {}", "a b/index.html": "sub", "no-index/x.txt": "x", "ünï.txt": "u", "data": "not reached",
		"data.html": "d", "metrics": "not reached", "console/index.html": "not reached", "rtdb.js": "not reached", ".git/config": "secret", ".env": "secret",
		"sub/.secret": "secret", ".well-known/x.txt": "known", "UPPER.HTML": "u", "nothing.unknownkind": "n",
	})
	if err := root.Symlink("/etc/passwd", "leak"); err != nil {
		t.Fatal(err)
	}
	if err := root.Symlink("data.html", "inside.html"); err != nil {
		t.Fatal(err)
	}
	server := transporttest.NewServer(t, transport.Options{Console: true, Public: root.FS()})
	for path, want := range map[string][2]string{
		"/": {"home", "text/html; charset=utf-8"}, "/index.html": {"home", "text/html; charset=utf-8"}, "/app.mjs": {"export {}", "text/javascript; charset=utf-8"},
		"/a%20b/": {"sub", "text/html; charset=utf-8"}, "/no-index/x.txt": {"x", "text/plain; charset=utf-8"}, "/%C3%BCn%C3%AF.txt": {"u", "text/plain; charset=utf-8"},
		"/data.html?x;y": {"d", "text/html; charset=utf-8"}, "/.well-known/x.txt": {"known", "text/plain; charset=utf-8"}, "/UPPER.HTML": {"u", "text/html; charset=utf-8"},
		"/nothing.unknownkind": {"n", "application/octet-stream"}, "/inside.html": {"d", "text/html; charset=utf-8"}, "/a%20b%2Findex.html": {"sub", "text/html; charset=utf-8"},
	} {
		answer, body := get(t, "GET", server.URL()+path)
		h := answer.Header
		if answer.StatusCode != 200 || body != want[0] || h.Get("Content-Type") != want[1] || h.Get("ETag") == "" ||
			h.Get("Content-Security-Policy") == "" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: %d %q %v", path, answer.StatusCode, body, h)
		}
	}
	for _, path := range []string{
		"/no-index/", "/no-index", "/.git/config", "/.env", "/sub/.secret", "/leak", "/missing", "/../index.html", "/%2e%2e/index.html", "/a/%2e%2e/index.html",
		"/..%2f..%2fetc/passwd", "/a%5c..%5cindex.html", "/index.html/", "//index.html", "/./index.html", "/index.html%00", "/%00", "/%2Findex.html",
	} {
		answer, body := get(t, "GET", server.URL()+path)
		wantJSONError(t, "GET "+path, answer, body, 404, "not_found")
	}
	if answer, body := get(t, "GET", server.URL()+"/a%20b?x=1"); answer.StatusCode != 301 || answer.Header.Get("Location") != "./a%20b/?x=1" {
		t.Errorf("GET /a b: %d to %s %s", answer.StatusCode, answer.Header.Get("Location"), body)
	}
	answer, body := get(t, "POST", server.URL()+"/index.html")
	wantJSONError(t, "POST /index.html", answer, body, 405, "method_not_allowed")
	for _, path := range []string{"/data", "/metrics", "/console/", "/rtdb.js"} {
		if answer, body := get(t, "GET", server.URL()+path); answer.StatusCode != 200 || body == "not reached" {
			t.Errorf("GET %s: %d %q, want the server's own", path, answer.StatusCode, body)
		}
	}

	// A changed file is sent again.
	first, _ := get(t, "GET", server.URL()+"/data.html")
	tag := first.Header.Get("ETag")
	if again, _ := get(t, "GET", server.URL()+"/data.html", "If-None-Match", tag); again.StatusCode != 304 {
		t.Errorf("again: %d, want 304", again.StatusCode)
	}
	if part, body := get(t, "GET", server.URL()+"/index.html", "Range", "bytes=1-2"); part.StatusCode != 206 || body != "om" {
		t.Errorf("a range: %d %q", part.StatusCode, body)
	}
	if err := root.WriteFile("data.html", []byte("e"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := root.Chtimes("data.html", time.Time{}, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if again, body := get(t, "GET", server.URL()+"/data.html", "If-None-Match", tag); again.StatusCode != 200 || body != "e" {
		t.Errorf("after a change: %d %q", again.StatusCode, body)
	}
}

// With a listener of its own for the operator, no page takes the place of the operator's
// calls.
func TestAPublicFolderDoesNotTakeTheOperatorsPlace(t *testing.T) {
	root := folder(t, map[string]string{"metrics": "x", "sessions": "x", "debug/pprof/index.html": "x", "log-level": "x", "topics": "x", "backup": "x"})
	server := transporttest.NewServer(t, transport.Options{Admin: true, Public: root.FS()})
	for _, path := range []string{"/metrics", "/sessions", "/debug/pprof/", "/log-level", "/topics", "/backup"} {
		answer, body := get(t, "GET", server.URL()+path)
		wantJSONError(t, "GET "+path, answer, body, 404, "not_found")
	}
}

// A file without a time, such as one of package embed, is sent again if its content changes.
func TestAFileWithoutATime(t *testing.T) {
	tags := map[string]bool{}
	for _, content := range []string{"one", "two"} {
		server := transporttest.NewServer(t, transport.Options{Public: fstest.MapFS{"x.html": {Data: []byte(content)}}})
		answer, body := get(t, "GET", server.URL()+"/x.html")
		if tag := answer.Header.Get("ETag"); body != content || tag == "" || tags[tag] {
			t.Errorf("got %q with ETag %s", body, tag)
		} else {
			tags[tag] = true
		}
	}
}
