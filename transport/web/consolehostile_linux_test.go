package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// Names and values of hostile clients are text. No script of theirs runs, and nothing is
// asked from elsewhere.
func testConsoleHostile(t *testing.T, browser *transporttest.Chromium) {
	var requests atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	t.Cleanup(elsewhere.Close)
	evil := "http://evil.example" + elsewhere.URL[strings.LastIndexByte(elsewhere.URL, ':'):] // *.example is this machine
	s := transporttest.NewServer(t, transport.Options{Console: true})
	texts := []string{
		`<img src=x onerror="window.ran=1">`, `<script>window.ran=1<` + `/script>`, `"><svg onload=window.ran=1>`, `javascript:window.ran=1`,
		`<img src="` + strings.ReplaceAll(evil, "/", "&#47;") + `">`, `url(` + evil + `)`, `{{constructor.constructor('window.ran=1')()}}`, "${window.ran=1}",
		"__proto__", "constructor", "toString", "hasOwnProperty", "100%", "%00%2e%2e", "a b", "'quote\"", "😀", "\u202egnp.exe", "\u2066\u200bhidden\u2069", "e\u0301",
		"\ufffe", "🏳️‍🌈", "ﷺ", strings.Repeat("W", 500),
	}
	level := func(text string) string {
		return strings.NewReplacer("/", "∕", "+", "＋", "#", "＃", "∕∕", "∕").Replace(text)
	}
	var keys []string
	for _, text := range texts {
		k := level(text)
		keys = append(keys, k)
		set(t, s, k, quote(text))
	}
	deep := strings.TrimSuffix(strings.Repeat("d/", 64), "/")
	long := `"` + strings.Repeat(`<b>\u202e`, 7000) + `"`
	set(t, s, "x/__proto__/constructor", `{"__proto__":{"ran":1},"constructor":1}`, deep, strings.Repeat("[", 64)+strings.Repeat("]", 64), "long", long,
		"markup", quote(strings.Join(texts, "\n")))
	p := openConsole(t, browser, s.URL(), "")
	p.sees(".summary", fmt.Sprintf("%d keys", len(keys)+4))
	p.Await(`document.querySelectorAll("key-tree .row").length >= ` + fmt.Sprint(len(keys)+4))
	shown := strings.Join(p.rows(), "\n")
	for i, k := range keys {
		if !strings.Contains(shown, k+"||"+cut(string(valueOf(s, k)))) {
			t.Errorf("the tree lacks %q with %s", k, texts[i])
		}
	}
	p.sees(".row .no", "⚠") // of hidden characters
	if longest := p.Run(`String(Math.max(...[...document.querySelectorAll("bdi")].map(e => e.textContent.length)))`, nil); len(longest) > 4 || longest > "4097" && len(longest) == 4 {
		t.Errorf("a list shows a text of %s characters, want it cut at 4 KB", longest)
	}

	// Each key is opened, edited and saved again.
	for i, k := range append(keys, "long", deep, "x/__proto__/constructor", "markup") {
		p.Run(`location.hash = "#/keys/" + `+quote(k)+`.split("/").map(encodeURIComponent).join("/")`, nil)
		p.Await(`document.querySelector("key-page h2 bdi")?.textContent === ` + quote(k) + ` && document.querySelector("json-editor textarea").value !== ""`)
		before := valueOf(s, k)
		if i%9 == 0 || i >= len(keys) {
			p.write("json-editor textarea", quote("mine "+k))
			theirs := `"changed"`
			if rest, ok := strings.CutPrefix(before, `"`); ok {
				theirs = `"changed ` + rest
			}
			set(t, s, k, theirs)
			p.sees(".conflict", "changed this key") // and the difference
			p.click("button", "Take theirs")
			set(t, s, k, before)
		}
		if got := valueOf(s, k); got != before {
			t.Errorf("%q was %.80s, and is %.80s", k, before, got)
		}
	}
	p.sees("key-page", "markup")

	// The 64 levels can be opened one after the other.
	p.Run(`location.hash = "#/keys?filter="`, nil)
	p.Run(`document.querySelector("virtual-list").focus()`, nil)
	p.press("Home")
	p.Await(find(".row", "d") + ` !== undefined`)
	p.Run(`list = document.querySelector("virtual-list")
		tree = document.querySelector("key-tree")
		list.go(tree.levels.rows.findIndex(r => r.name === "d")); ""`, nil)
	p.Run(`(async () => {
		const press = key => list.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}))
		for (let depth = 1; depth < 64; depth++) {
			press("ArrowRight")
			while (!tree.levels.rows.some(r => r.depth === depth && !r.isMore)) await new Promise(done => setTimeout(done, 2))
			press("ArrowDown")
		}
	})()`, nil)
	p.press("Enter")
	p.Await(`document.querySelector("key-page h2 bdi")?.textContent === ` + quote(deep))

	// A topic and a message.
	p.Run(`location.hash = "#/topics?follow=%23"`, nil)
	transporttest.Eventually(t, "a hostile message", func() bool {
		if err := s.Keyspace.Publish(t.Context(), level(texts[0]), []byte(long)); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(p.text(".messages"), texts[0][:8])
	})

	// Fragments that somebody else has made.
	for _, fragment := range []string{
		"#/keys/%", "#/keys/%ff", "#/keys/..%2f..%2fmetrics", "#/keys/<img src=x onerror=window.ran=1>", "#javascript:window.ran=1", "#/__proto__/x", "#/constructor",
		"#/keys?filter=%E0%A4%A", "#/keys?filter=<script>window.ran=1</script>", "#/keys?__proto__=1", "#/delete?pattern=%23", "#/topics?follow=a%00b", "#//evil.example/", "#" + evil,
	} {
		p.Run(`location.hash = `+quote(fragment)+`; new Promise(done => setTimeout(done, 30))`, nil)
		p.Await(`document.querySelector("keys-page, topics-page, delete-page") !== null`)
	}
	p.visit("#/keys/..%2f..%2fmetrics")
	p.sees(".problem.wrong", "names no key")
	if got := s.Keyspace.Keys(); got != len(keys)+4 {
		t.Errorf("%d keys are left, want %d", got, len(keys)+4)
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
	if other := p.Run(`performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith(location.origin + "/")).join()`, nil); other != "" {
		t.Errorf("the page asked for %s", other)
	}
}

// cut returns the beginning of a text.
func cut(text string) string { return string([]rune(text)[:min(30, len([]rune(text)))]) }

// A level with a million keys opens and scrolls quickly, with a few elements.
func testConsoleMillion(t *testing.T, browser *transporttest.Chromium) {
	n := 50_000
	if os.Getenv("CI") != "" {
		n = 1_000_000
	}
	s := transporttest.NewServer(t, transport.Options{Console: true})
	for i := 0; i < n; {
		var changes []keyspace.KeyedChange
		for ; i < n && len(changes) < 5000; i++ {
			changes = append(changes, keyspace.KeyedChange{Key: fmt.Sprintf("flat/%07d", i), Change: keyspace.Change{Value: []byte("1")}})
		}
		s.Keyspace.WriteAll(t.Context(), changes)
	}
	p := openConsole(t, browser, s.URL(), "")
	wantRows(t, p, "flat|10,000+|")
	// The time of the processor, because the machine may be busy.
	p.Call("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	busy := func() time.Duration {
		var metrics struct {
			Metrics []struct {
				Name  string
				Value float64
			}
		}
		p.Call("Performance.getMetrics", nil, &metrics)
		for _, m := range metrics.Metrics {
			if m.Name == "TaskDuration" {
				return time.Duration(m.Value * float64(time.Second))
			}
		}
		t.Fatalf("%v: no TaskDuration", metrics)
		return 0
	}
	p.Run(`document.querySelector("virtual-list").focus()`, nil)
	p.press("ArrowRight")
	p.sees(".row", "0000000")
	before := busy()
	const pages = 15
	for range pages { // each End loads the next page
		p.press("End")
		p.Await(`document.querySelector("key-tree").levels.rows.length - 1 > document.querySelector("virtual-list").current`)
	}
	each := (busy() - before) / pages
	var got struct{ Rows, Nodes int }
	p.Run(`({rows: document.querySelector("key-tree").levels.rows.length, nodes: document.querySelectorAll("*").length})`, &got)
	if got.Rows < 10_000 || got.Nodes > 1500 || each > 200*time.Millisecond {
		t.Errorf("%+v, %v a page: want thousands of rows, a few hundred nodes, and at most 200 ms", got, each)
	}
	t.Logf("%d keys: %+v, %v for each page of 1000", n, got, each)
	if n := subscriptions(t, s); n > 300 {
		t.Errorf("the page has %d subscriptions, want those of the visible rows", n)
	}
}
