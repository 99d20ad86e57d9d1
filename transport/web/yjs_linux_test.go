package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// The example of collaborative editing: its provider alone in Node, and its page in Chromium.
func TestYjsExample(t *testing.T) {
	t.Parallel()
	dir := installYjs(t)
	t.Run("provider", func(t *testing.T) {
		t.Parallel()
		testYjsProvider(t, dir)
	})
	t.Run("pages", func(t *testing.T) {
		t.Parallel()
		testYjsPages(t, dir)
	})
}

// unreachable matches the errors of npm if it does not reach the registry.
var unreachable = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT`)

// installYjs copies the example, installs its packages, and returns its folder. Without the
// registry of npm the test is skipped, and fails if the environment variable CI is set.
func installYjs(t *testing.T) string {
	t.Helper()
	transporttest.NeedTool(t, "node")
	transporttest.NeedTool(t, "npm")
	web := t.TempDir()
	dir := filepath.Join(web, "examples", "yjs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("examples/yjs/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "rtdb.js", "package.json") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(web, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if modules, err := filepath.Abs("examples/yjs/node_modules"); err != nil {
		t.Fatal(err)
	} else if _, err := os.Stat(modules); err == nil {
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0")
	npm.Dir, npm.WaitDelay = dir, time.Second
	switch output, err := npm.CombinedOutput(); {
	case err != nil && unreachable.Match(output) && os.Getenv("CI") == "":
		t.Skipf("npm does not reach its registry:\n%s", tail(output))
	case err != nil:
		t.Fatalf("npm ci: %v\n%s", err, tail(output))
	}
	return dir
}

// testYjsProvider runs the provider's own tests. They use a server behind three proxies, and
// control both by HTTP.
func testYjsProvider(t *testing.T, dir string) {
	server := transporttest.NewServer(t, transport.Options{})
	var proxies []*transporttest.Proxy
	var urls []string
	for range 3 {
		p := transporttest.NewProxy(t, server.Addr)
		proxies, urls = append(proxies, p), append(urls, p.URL())
	}
	var mu sync.Mutex // server
	control := http.NewServeMux()
	chosen := func(r *http.Request) *transporttest.Proxy {
		i, err := strconv.Atoi(r.FormValue("proxy"))
		if err != nil {
			t.Error(err)
		}
		return proxies[i]
	}
	control.HandleFunc("POST /cut", func(w http.ResponseWriter, r *http.Request) {
		chosen(r).Cut()
		w.WriteHeader(http.StatusNoContent)
	})
	control.HandleFunc("POST /refuse", func(w http.ResponseWriter, r *http.Request) {
		chosen(r).Refuse(r.FormValue("on") == "1")
		w.WriteHeader(http.StatusNoContent)
	})
	control.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range proxies {
			p.Cut()
		}
		server.Stop()
		server = transporttest.NewServer(t, transport.Options{})
		for _, p := range proxies {
			p.Retarget(server.Addr)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	controller := httptest.NewServer(control)
	t.Cleanup(controller.Close)
	output := run(t, dir, []string{"RTDB_PROXIES=" + strings.Join(urls, " "), "RTDB_CONTROL=" + controller.URL}, "node", "--test", "--test-reporter=spec", "provider.test.js")
	if !strings.Contains(output, "skipped 0") {
		t.Errorf("tests were skipped:\n%s", output)
	}
}

// testYjsPages types in two pages at once while the connections of both are cut.
func testYjsPages(t *testing.T, dir string) {
	chromium := transporttest.StartChromium(t)
	run(t, dir, nil, "npm", "run", "build")
	root, err := os.OpenRoot(filepath.Join(dir, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	server := transporttest.NewServer(t, transport.Options{Public: root.FS()})
	proxy := transporttest.NewProxy(t, server.Addr)

	open := func(name string) *transporttest.Page {
		p := chromium.Open(t, proxy.URL()+"/")
		p.Call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil) // as if each had a window in front
		p.Await(`window.provider?.state === "saved"`)
		p.Run(`{
			const input = document.getElementById("name")
			input.value = "`+name+`"
			input.dispatchEvent(new Event("input"))
			window.seen = []
			provider.addEventListener("error", ({ error }) => seen.push(error.message))
		}`, nil)
		return p
	}
	const letters = 300
	typing := func(p *transporttest.Page, letter string) {
		p.Run(`void (async () => {
			document.querySelector(".cm-content").focus()
			for (window.typed = 0; typed < `+strconv.Itoa(letters)+`; typed++) {
				const { length } = editor.state.doc
				if (typed % 5 === 0) editor.dispatch({ selection: { anchor: Math.floor(Math.random() * (length + 1)) } })
				document.execCommand("insertText", false, typed % 40 === 39 ? "\n" : "`+letter+`")
				await new Promise(done => setTimeout(done, 10))
			}
		})()`, nil)
	}
	ada, bob := open("Ada"), open("Bob")
	typing(ada, "a")
	typing(bob, "b")
	for i := range 6 {
		typed := strconv.Itoa((i + 1) * letters / 10)
		ada.Await(`typed > ` + typed)
		bob.Await(`typed > ` + typed)
		proxy.Cut()
	}
	ada.Run(`document.getElementById("cut").click()`, nil)
	ada.Await(`document.getElementById("state").textContent.startsWith("Offline")`)
	const end = `typed === 300 && provider.state === "saved" && client.state === "open"`
	bob.Await(end)
	ada.Await(end)
	const text = `editor.state.doc.toString()`
	ada.Await(`editor.state.doc.length === 600`)
	bob.Await(`editor.state.doc.length === 600`)
	want := ada.Run(text, nil)
	if got := bob.Run(text, nil); got != want {
		t.Errorf("one page has %q, the other %q", got, want)
	}
	if a, b := strings.Count(want, "a"), strings.Count(want, "b"); a != b || a+b+strings.Count(want, "\n") != 2*letters {
		t.Errorf("the pages end with %d a and %d b: %q", a, b, want)
	}
	eve := open("Eve")
	if got := eve.Run(text, nil); got != want {
		t.Errorf("the server has %q, the pages have %q", got, want)
	}

	const others = `[...document.querySelectorAll("#people li")].map(li => li.textContent).sort().join()`
	const cursors = `[...document.querySelectorAll(".cm-ySelectionInfo")].map(info => info.textContent).join()`
	ada.Await(others + ` === "Bob,Eve"`)
	ada.Await(cursors + ` === "Bob"`)
	if dir := os.Getenv("RTDB_SCREENSHOTS"); dir != "" {
		for width, name := range map[int]string{1000: "wide", 360: "narrow"} {
			ada.Resize(width, 700)
			ada.Run(`new Promise(done => setTimeout(done, 300))`, nil) // the editor measures its lines
			ada.Screenshot(filepath.Join(dir, "yjs-"+name+".png"))
		}
	}
	bob.Call("Page.close", nil, nil)
	ada.Await(others + ` === "Eve"`)
	ada.Await(cursors + ` === ""`)
	for _, p := range []*transporttest.Page{ada, eve} {
		if got := p.Run(`JSON.stringify(seen)`, nil); got != "[]" {
			t.Errorf("errors in a page: %s", got)
		}
	}
}
