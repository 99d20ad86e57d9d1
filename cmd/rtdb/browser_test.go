//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rtdb/transport/transporttest"
)

// A browser can do all that the manual says of pages. The tests share one Chromium.
func TestPagesInChromium(t *testing.T) {
	t.Parallel()
	browser := transporttest.StartChromium(t)
	for name, test := range map[string]func(*testing.T, *transporttest.Chromium){
		"restart": testEventSourceComesBackAfterARestart, "sessions": testEventSourceComesBackWhenThereIsRoom,
		"rate": testEventSourceComesBackAfterTooManyRequests, "store": testAPageOutlivesItsServer, "README": testTheReadmesPage, "final": testEventSourceGivesUp, "origins": testPagesOfOtherOrigins,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, browser)
		})
	}
}

// A browser's EventSource, behind the manual's nginx, comes back by itself after the
// server was away, both in a page of the same origin and in one of an allowed origin.
func testEventSourceComesBackAfterARestart(t *testing.T, browser *transporttest.Chromium) {
	pages := servePages(t)
	env := []string{"JWT_SECRET=" + testSecret, `ANONYMOUS_GRANTS={"read":["#"],"write":["#"]}`, "ALLOWED_ORIGINS=http://*.allowed.example:" + pages}
	server := start(t, env)
	addr := strings.TrimPrefix(server.url, "http://")
	proxy := startNginx(t, "127.0.0.1:8080", addr)
	ours := "http://db.example:" + proxy.port
	own, other := browser.Open(t, ours+"/healthz"), browser.Open(t, "http://app.allowed.example:"+pages+"/")
	follow(t, own, "/events?key=k&snapshot=true", "/events?key=nothing")
	follow(t, other, ours+"/events?key=k&snapshot=true")

	server.call("PUT", "/data/k", `{"value":1}`)
	next := make(map[*transporttest.Page]int)
	for _, p := range []*transporttest.Page{own, other} {
		awaitSeen(t, p, 0, `^0 synced`)
		next[p] = awaitSeen(t, p, 0, `^0 message .*"value":1`)
	}
	server.stop()
	for _, p := range []*transporttest.Page{own, other} {
		n := awaitSeen(t, p, next[p], `^0 end .*"code":1012`)
		next[p] = awaitSeen(t, p, n, `^0 error .*"code":"unavailable","message":"the proxy`)
	}
	// What else nginx answers meanwhile.
	for path, headers := range map[string][]string{
		"/events?key=k": {"Accept", "*/*"}, "/data/k": {"Accept", "text/event-stream"}, "/ws": {"Accept", "text/event-stream"}, "/events/x": {"Accept", "text/event-stream"},
	} {
		r, err := http.NewRequest("GET", "http://"+publicHost+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(headers[0], headers[1])
		answer, err := proxy.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusBadGateway {
			t.Errorf("%s with %q while the server is away: %d, want 502", path, headers, answer.StatusCode)
		}
	}
	server = start(t, env, "--port", addr[strings.LastIndex(addr, ":")+1:])
	server.call("PUT", "/data/k", `{"value":2}`)
	for _, p := range []*transporttest.Page{own, other} {
		awaitSeen(t, p, next[p], `^0 message .*"value":2`)
	}
	own.Await(`sources.every(s => s.readyState === EventSource.OPEN)`)
}

// An EventSource that is refused because there are too many sessions, or is kicked, is
// told so and comes back.
func testEventSourceComesBackWhenThereIsRoom(t *testing.T, browser *transporttest.Chromium) {
	server := start(t, nil, "--max-sessions", "1")
	holder, err := http.Get(server.url + "/events?key=k")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Body.Close()
	if _, err := bufio.NewReader(holder.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	page := browser.Open(t, server.url+"/healthz")
	const stream = "/events?key=k&snapshot=true"
	follow(t, page, stream, stream, stream, stream, stream) // several, because each waits for 1 to 12 s
	next := 0
	for _, i := range "01234" {
		next = max(next, awaitSeen(t, page, 0, "^"+string(i)+` error .*"limit_reached"`))
	}
	_ = holder.Body.Close()
	awaitSeen(t, page, next, `synced`)
	var sessions struct{ Sessions []struct{ ID string } }
	if _, text := server.call("GET", "/sessions", ""); json.Unmarshal([]byte(text), &sessions) != nil || len(sessions.Sessions) != 1 {
		t.Fatal(text)
	}
	server.call("DELETE", "/sessions/"+sessions.Sessions[0].ID, "")
	next = awaitSeen(t, page, next, `end .*"reason":"kicked","code":4009`)
	awaitSeen(t, page, next, `synced`)
	page.Await(`sources.every(s => s.readyState !== EventSource.CLOSED)`)
}

func testEventSourceComesBackAfterTooManyRequests(t *testing.T, browser *transporttest.Chromium) {
	server := start(t, nil, "--max-request-rate", "0.2") // one, and another after 5 s
	page := browser.Open(t, server.url+"/healthz")
	for status := 0; status != http.StatusTooManyRequests; status, _ = server.call("GET", "/data/k", "") {
	}
	follow(t, page, "/events?key=k&snapshot=true")
	awaitSeen(t, page, awaitSeen(t, page, 0, `error .*"rate_limited"`), `synced`)
}

func testEventSourceGivesUp(t *testing.T, browser *transporttest.Chromium) {
	server := start(t, []string{"JWT_SECRET=" + testSecret})
	page := browser.Open(t, server.url+"/healthz")
	follow(t, page, "/events?key=k")
	page.Await(`sources[0].readyState === EventSource.CLOSED`)
}

// callAll calls a server in all ways that a page has, with headers of a library for
// tracing.
const callAll = `(async () => {
	const seen = {}
	try {
		const answer = await fetch(BASE + "/data/k", {method: "PUT", body: '{"value":1}', headers: {
			"Content-Type": "application/json", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			"sentry-trace": "1", "X-Request-ID": "2", "If-None-Match": "*"}})
		seen.fetch = answer.status + (answer.headers.get("ETag") ? " with ETag" : "")
	} catch { seen.fetch = "failed" }
	seen.events = await new Promise(done => {
		const source = new EventSource(BASE + "/events?key=k&snapshot=true")
		source.addEventListener("synced", () => { source.close(); done("synced") })
		source.onerror = () => done("failed, " + source.readyState)
	})
	seen.socket = await new Promise(done => {
		const socket = new WebSocket(BASE.replace("http", "ws") + "/ws")
		socket.onopen = () => socket.send('{"action":"ping"}')
		socket.onmessage = e => { socket.close(); done(e.data) }
		socket.onerror = () => done("failed")
	})
	return seen
})()`

// A page of an allowed origin can use everything, with any headers. Other pages cannot.
func testPagesOfOtherOrigins(t *testing.T, browser *transporttest.Chromium) {
	pages := servePages(t)
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte("<!doctype html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	allows := map[string]*process{}
	for _, origins := range []string{"", "http://*.allowed.example:" + pages, "null", "http://allowed.example:" + pages} {
		allows[origins] = start(t, []string{"ALLOWED_ORIGINS=" + origins})
	}
	for url, may := range map[string]string{
		"http://app.allowed.example:" + pages + "/":              "http://*.allowed.example:" + pages,
		"http://a.b.allowed.example:" + pages + "/":              "http://*.allowed.example:" + pages,
		"http://allowed.example:" + pages + "/":                  "http://allowed.example:" + pages,
		"http://evilallowed.example:" + pages + "/":              "nothing",
		"http://app.allowed.example.evil.example:" + pages + "/": "nothing",
		"file://" + file: "null",
	} {
		page := browser.Open(t, url)
		for origins, server := range allows {
			var got struct{ Fetch, Events, Socket string }
			page.Run(strings.ReplaceAll(callAll, "BASE", `"`+strings.Replace(server.url, "127.0.0.1", "localhost", 1)+`"`), &got)
			want := got
			want.Fetch, want.Events, want.Socket = "failed", "failed, 2", "failed"
			if origins == may {
				want.Fetch, want.Events, want.Socket = "200 with ETag", "synced", `{"action":"pong"}`
			}
			status, _ := server.call("DELETE", "/data/k", "")
			if got != want || (status == http.StatusNoContent) != (origins == may) {
				t.Errorf("%s at a server that allows %q: %+v, want %+v; then the delete is answered %d", url, origins, got, want, status)
			}
		}
	}
	// A page of another port of this machine needs no setting, unless the server has a key.
	page := browser.Open(t, "http://localhost:"+pages+"/")
	for may, server := range map[bool]*process{true: allows[""], false: start(t, []string{"JWT_SECRET=" + testSecret, `ANONYMOUS_GRANTS={"read":["#"],"write":["#"]}`})} {
		var got struct{ Fetch, Events, Socket string }
		page.Run(strings.ReplaceAll(callAll, "BASE", `"`+strings.Replace(server.url, "127.0.0.1", "localhost", 1)+`"`), &got)
		if called := got.Fetch == "200 with ETag" && got.Events == "synced" && got.Socket == `{"action":"pong"}`; called != may {
			t.Errorf("a page of another port of this machine, which may call %v: %+v", may, got)
		}
	}
	// The log says which page it was.
	p := allows[""]
	for _, e := range p.log() {
		if e["message"] == "http request" && e["status"] == 403.0 && e["origin"] == nil {
			t.Errorf("a refusal without its origin: %v", e)
		}
	}
}
