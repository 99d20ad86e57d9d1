package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// The tests of the console share one Chromium. Each has a server and a tab of its own.
func TestConsole(t *testing.T) {
	t.Parallel()
	// Else the timers of tabs that are not in front wait for up to a second.
	browser := transporttest.StartChromium(t, "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding")
	for name, test := range map[string]func(*testing.T, *transporttest.Chromium){
		"tree": testConsoleTree, "live": testConsoleLive, "key": testConsoleKey, "conflict": testConsoleConflict, "lifetime": testConsoleTimeToLive,
		"access": testConsoleAccess, "renewal": testConsoleRenewal, "refusals": testConsoleRefusals, "keyboard": testConsoleKeyboard, "code": testConsoleCode,
		"hostile": testConsoleHostile, "million": testConsoleMillion, "looks": testConsoleLooks, "prefix": testConsoleBehindAPrefix, "modules": testConsoleModules,
		"topics": testConsoleTopics, "delete": testConsoleDelete, "sessions": testConsoleSessions, "server": testConsoleServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, browser)
		})
	}
}

// maxConsoleBytes is the limit of the console's size, compressed.
const maxConsoleBytes = 60 << 10

func TestTheConsoleIsSmall(t *testing.T) {
	sum := 0
	err := fs.WalkDir(os.DirFS("console"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile("console/" + name)
		if err != nil {
			return err
		}
		var zipped bytes.Buffer
		z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is valid
		_, _ = z.Write(content)                                    // a buffer takes everything
		_ = z.Close()
		sum += zipped.Len()
		return nil
	})
	if err != nil || sum > maxConsoleBytes || sum == 0 {
		t.Errorf("the console has %d bytes, want at most %d: %v", sum, maxConsoleBytes, err)
	}
	t.Logf("the console has %d bytes, compressed", sum)
}

// set writes keys of a server. The arguments are names and values in turn.
func set(t *testing.T, s *transporttest.Server, keysAndValues ...string) {
	t.Helper()
	for i := 0; i < len(keysAndValues); i += 2 {
		if _, err := s.Keyspace.Set(t.Context(), keysAndValues[i], []byte(keysAndValues[i+1])); err != nil {
			t.Fatal(err)
		}
	}
}

// valueOf returns the value of a key, "" if there is no such key.
func valueOf(s *transporttest.Server, key string) string {
	e, err := s.Keyspace.Get(key)
	if err != nil {
		return ""
	}
	return string(e.Value)
}

// wantRows waits until the visible rows of the tree are these, each as "name|count|value".
func wantRows(t *testing.T, p *tab, want ...string) {
	t.Helper()
	list, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := p.Run(fmt.Sprintf(`new Promise(done => {
		const end = Date.now() + 20_000, want = JSON.stringify(%s)
		const look = () => {
			const got = JSON.stringify(%s)
			if (got === want) done("")
			else if (Date.now() > end) done(got)
			else setTimeout(look, 20)
		}
		look()
	})`, list, rows), nil)
	if got != "" {
		t.Fatalf("the rows are %s, want %s", got, list)
	}
}

// The tree shows one level at a time, with counts, and follows the changes. A filter shows
// the keys of a prefix or a pattern.
func testConsoleTree(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	set(t, s, "building/3", `{"name":"North","n":12345678901234567890}`, "building/3/temp", "21.50", "building/4/temp", "19", "building/4/x/y", "1", "a", "null")
	for i := range 30 {
		set(t, s, fmt.Sprintf("many/%02d/x", i), "1")
	}
	p := openConsole(t, browser, s.URL(), "")
	wantRows(t, p, "a||null", "building|4|", "many|30|")
	p.sees(".summary", "35 keys")
	p.Run(`document.querySelector("virtual-list").focus()`, nil)
	p.press("ArrowDown", "ArrowRight")
	wantRows(t, p, "a||null", "building|4|", `3|1|{"name":"North","n":12345678901234567890}`, "4|2|", "many|30|")
	p.press("ArrowRight", "ArrowDown", "ArrowRight")
	wantRows(t, p, "a||null", "building|4|", `3|1|{"name":"North","n":12345678901234567890}`, "4|2|", "temp||19", "x|1|", "many|30|")

	// New keys and levels come by themselves, and deleted ones go.
	set(t, s, "building/4/door", `"open"`, "b", "1")
	if _, err := s.Keyspace.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	wantRows(t, p, "b||1", "building|5|", `3|1|{"name":"North","n":12345678901234567890}`, "4|3|", `door||"open"`, "temp||19", "x|1|", "many|30|")
	// The row that was current is still marked as one.
	p.Await(`document.querySelectorAll(".row.current").length === 1`)
	p.press("ArrowLeft", "ArrowLeft")

	p.press("/")
	p.Await(`document.activeElement.classList.contains("filter")`)
	p.write(".filter", "building/+/temp")
	wantRows(t, p, "building/3/temp||21.50", "building/4/temp||19")
	if got := p.Run(`location.hash`, nil); got != "#/keys?filter=building%2F%2B%2Ftemp" {
		t.Errorf("the address has the fragment %s", got)
	}
	p.write(".filter", "building/4/")
	wantRows(t, p, `building/4/door||"open"`, "building/4/temp||19", "building/4/x/y||1")
	p.write(".filter", "a/#/b")
	p.Await(`!document.querySelector(".filter").checkValidity()`)
	p.write(".filter", "")
	p.sees(".summary", "36 keys")
}

// Values are live while they are visible, and a pause holds them.
func testConsoleLive(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	proxy := transporttest.NewProxy(t, s.Addr)
	set(t, s, "a", "1", "b", "1")
	p := openConsole(t, browser, "http://"+proxy.Addr, "")
	wantRows(t, p, "a||1", "b||1")
	// A repaint changes several cells. Count the repaints of a busy second.
	p.Run(`flashes = 0
		const animate = Element.prototype.animate
		Element.prototype.animate = function (...args) { if (this.classList.contains("value")) flashes++; return animate.apply(this, args) }
		""`, nil)
	p.sees(".state", "live")
	start := time.Now()
	writes := 0
	transporttest.Eventually(t, "a second of writes", func() bool {
		writes++
		set(t, s, "a", fmt.Sprint(writes))
		return time.Since(start) > time.Second
	})
	p.sees(".row .value", fmt.Sprint(writes))
	var flashes int
	p.Run(`flashes`, &flashes)
	if took := time.Since(start); flashes < 1 || flashes > 2+int(10*took.Seconds()) {
		t.Errorf("%d writes and %d repaints of the value in %v, want at most 10 a second", writes, flashes, took)
	}

	p.press("p")
	p.sees(".badge.stale", "paused")
	set(t, s, "a", `"while paused"`, "b", `"while paused"`, "c", "3")
	p.Run(`new Promise(done => setTimeout(done, 300))`, nil)
	wantRows(t, p, "a||"+fmt.Sprint(writes), "b||1")
	p.press("p")
	wantRows(t, p, `a||"while paused"`, `b||"while paused"`, "c||3")

	// A page whose connection is cut says so, and catches up by itself.
	proxy.Refuse(true)
	proxy.Cut()
	p.sees(".badge.stale", "stale")
	p.sees(".state", "trying again")
	set(t, s, "a", `"while cut"`)
	proxy.Refuse(false)
	wantRows(t, p, `a||"while cut"`, `b||"while paused"`, "c||3")
	p.lacks(".badge.stale", "stale")

	// A server that has begun anew has lower versions and other keys. The page shows its state.
	p.Run(`location.hash = "#/keys/a"`, nil)
	p.Await(`document.querySelector("json-editor textarea")?.value === '"while cut"'`)
	anew := transporttest.NewServerOn(t, keyspace.Options{Store: keyspace.NewMemory(1)}, transport.Options{Console: true})
	set(t, anew, "a", `"anew"`, "d", "4")
	proxy.Retarget(anew.Addr)
	proxy.Cut()
	wantRows(t, p, `a||"anew"`, "d||4")
	p.Await(`document.querySelector("json-editor textarea").value === '"anew"'`)
	set(t, anew, "a", `"and on"`)
	wantRows(t, p, `a||"and on"`, "d||4")
	p.Await(`document.querySelector("json-editor textarea").value === '"and on"'`)
}
