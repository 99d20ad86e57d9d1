package web_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/fstest"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// pageOf returns a user's page, which shows the keys below a/ live. options are those of
// connect, besides the usual.
func pageOf(options string) []byte {
	return []byte(`<!doctype html><title>page</title><script type="module">
import { connect } from "/rtdb.js"
window.states = []
window.errors = []
window.client = connect(undefined, { backoff: { min: 20, max: 200 }, pingAfter: 500, pingTimeout: 2000, ` + options + ` })
client.addEventListener("statechange", () => states.push(client.state))
client.addEventListener("error", ({ error }) => errors.push(error.code + ": " + error.message))
window.view = client.view("a/#")
window.value = (key) => view.get(key)?.value
window.lifecycle = []
for (const name of ["freeze", "resume", "visibilitychange"]) document.addEventListener(name, () => lifecycle.push(name))
addEventListener("pageshow", (event) => lifecycle.push(event.persisted ? "restored" : "loaded"))
</script>`)
}

// A browserStage is a page in a real browser that is led to a server through a proxy.
type browserStage struct {
	t       *testing.T
	server  *transporttest.Server
	proxy   *transporttest.Proxy
	browser *transporttest.Chromium
}

func newBrowserStage(t *testing.T, o transport.Options) *browserStage {
	t.Helper()
	browser := transporttest.StartChromium(t)
	patient, streams := "backoff: { min: 60000, max: 60000 }", "WebSocket: null"
	token := "token: () => '" + transporttest.Token(t, "ada", `{"read":["a/#"],"write":["a/#"]}`, time.Hour) + "'"
	o.Public = fstest.MapFS{
		"index.html":           {Data: pageOf("")},
		"patient.html":         {Data: pageOf(patient)},
		"patient-streams.html": {Data: pageOf(patient + "," + streams)},
		"token.html":           {Data: pageOf(token)},
		"token-streams.html":   {Data: pageOf(token + "," + streams)},
		"other.html":           {Data: []byte(`<!doctype html><title>other</title>`)},
	}
	server := transporttest.NewServer(t, o)
	return &browserStage{t: t, server: server, proxy: transporttest.NewProxy(t, server.Addr), browser: browser}
}

func (b *browserStage) open(name string) *transporttest.Page {
	b.t.Helper()
	p := b.browser.Open(b.t, b.proxy.URL()+"/"+name)
	p.Await(`window.client?.state === "open" && !view.stale`)
	return p
}

// set writes a key below a/ to the server itself.
func (b *browserStage) set(name string, value int) {
	b.t.Helper()
	_, err := b.server.Keyspace.Write(b.t.Context(), "a/"+name, keyspace.Change{Value: fmt.Appendf(nil, "%d", value)})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestClientInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowserStage(t, transport.Options{})
	b.set("1", 1)

	t.Run("a page from the server itself shows live values, and writes", func(t *testing.T) {
		p := b.open("")
		p.Await(`value("a/1") === 1`)
		p.Run(`client.set("a/mine", "<b>")`, nil)
		b.set("1", 2)
		p.Await(`value("a/1") === 2 && value("a/mine") === "<b>"`)
	})

	for _, name := range []string{"patient.html", "patient-streams.html"} {
		t.Run("offline and online, "+name, func(t *testing.T) {
			p := b.open(name)
			network := func(offline bool) {
				p.Call("Network.enable", nil, nil)
				p.Call("Network.emulateNetworkConditions",
					map[string]any{"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}, nil)
			}
			network(true)
			b.proxy.Cut()
			p.Await(`client.state === "waiting" && view.stale`)
			b.set("off", 1)
			// The back-off is a minute, but the client tries again when the browser is online.
			network(false)
			p.Await(`client.state === "open" && !view.stale && value("a/off") === 1`)
			b.server.Keyspace.Write(t.Context(), "a/off", keyspace.Change{Delete: true})
			p.Await(`value("a/off") === undefined`)
		})
	}

	t.Run("a tab that is frozen catches up when it is active again", func(t *testing.T) {
		p := b.open("")
		p.Call("Page.setWebLifecycleState", map[string]any{"state": "frozen"}, nil)
		b.proxy.Cut()
		b.set("frozen", 1)
		p.Call("Page.setWebLifecycleState", map[string]any{"state": "active"}, nil)
		p.Await(`value("a/frozen") === 1 && !view.stale`)
		p.Await(`lifecycle.includes("freeze") && lifecycle.includes("resume")`)
	})

	t.Run("a tab that is hidden goes on, and its link is probed when it is shown", func(t *testing.T) {
		p := b.open("")
		other := b.browser.Open(t, b.proxy.URL()+"/other.html")
		other.Call("Page.bringToFront", nil, nil)
		b.set("hidden", 1)
		p.Await(`value("a/hidden") === 1`)
		p.Call("Page.bringToFront", nil, nil)
		b.set("hidden", 2)
		p.Await(`value("a/hidden") === 2 && !view.stale`)
	})

	t.Run("a page that comes back from the cache shows the present", func(t *testing.T) {
		p := b.open("")
		p.Run(`void (location.href = "/other.html")`, nil)
		p.Await(`document.title === "other"`)
		b.set("away", 1)
		p.Run(`void history.back()`, nil)
		p.Await(`document.title === "page" && window.client?.state === "open" && value("a/away") === 1 && !view.stale`)
		b.set("away", 2)
		p.Await(`value("a/away") === 2`)
		t.Logf("the page was %s", p.Run(`lifecycle.at(-1)`, nil))
	})

	t.Run("a slow network, with cuts", func(t *testing.T) {
		p := b.open("")
		p.Call("Network.enable", nil, nil)
		p.Call("Network.emulateNetworkConditions",
			map[string]any{"offline": false, "latency": 40, "downloadThroughput": 50_000, "uploadThroughput": 20_000}, nil)
		for i := range 5 {
			for k := range 100 {
				b.set(fmt.Sprintf("slow/%d", k), i*100+k)
			}
			b.proxy.Cut()
		}
		p.Await(`!view.stale && value("a/slow/0") === 400 && value("a/slow/99") === 499`)
	})
}

func TestClientInABrowserWithTokens(t *testing.T) {
	t.Parallel()
	b := newBrowserStage(t, transport.Options{Keys: transporttest.Keys(t), AllowedOrigins: []string{"http://pages.example"}})
	b.set("1", 1)
	for _, name := range []string{"token.html", "token-streams.html"} {
		p := b.open(name)
		p.Run(`client.set("a/2", 2)`, nil)
		p.Await(`value("a/1") === 1 && value("a/2") === 2`)
		if got := p.Run(`client.set("b", 1).catch((error) => error.code)`, nil); got != "forbidden" {
			t.Errorf("%s: a write without a grant: %q", name, got)
		}
		if got := p.Run(`client.view("#").ready.catch((error) => error.code)`, nil); got != "forbidden" {
			t.Errorf("%s: a view without a grant: %q", name, got)
		}
		p.Await(`!view.stale`)
		if got := p.Run(`client.get("a/1").then((entry) => entry.key)`, nil); got != "a/1" {
			t.Errorf("%s: get: %q", name, got)
		}
	}
	response, err := http.Get(b.proxy.URL() + "/rtdb.js")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/rtdb.js without a token: %s", response.Status)
	}
}
