package demo_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rtdb/cmd/rtdb/demo"
	"rtdb/transport/transporttest"
)

var screenshots = flag.String("screenshots", "", "directory for pictures of the pages")

// The pages work in a real browser. The tests share one Chromium.
func TestPagesInChromium(t *testing.T) {
	t.Parallel()
	browser := transporttest.StartChromium(t)
	for name, test := range map[string]func(*testing.T, *transporttest.Chromium){
		"start": testStartPage, "dashboard": testDashboard, "chat": testChat, "editing": testEditing, "devices": testDevices,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, browser)
		})
	}
}

// A page is a tab of a browser with a page of the demo.
type page struct {
	*transporttest.Page
	t    *testing.T
	name string
}

// noteErrors makes a page note the errors that its console would show.
const noteErrors = `
	window.seen = []
	addEventListener("error", e => seen.push(e.message ?? e.target.outerHTML), true)
	addEventListener("unhandledrejection", e => seen.push(String(e.reason)))
	addEventListener("securitypolicyviolation", e => seen.push(e.violatedDirective + " " + e.blockedURI))
	console.error = console.warn = (...all) => seen.push(all.join(" "))
`

// open opens a page, and at the end of the test wants that it noted no error.
func (s *site) open(t *testing.T, browser *transporttest.Chromium, name string) *page {
	t.Helper()
	p := &page{browser.Open(t, "about:blank"), t, name}
	p.Call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": noteErrors}, nil)
	// A tab in the background would paint nothing.
	p.Call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
	p.Call("Page.navigate", map[string]any{"url": s.URL() + "/" + name}, nil)
	p.Await(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, "/"+name))
	t.Cleanup(func() {
		if got := p.Run(`JSON.stringify(window.seen ?? [])`, nil); got != "[]" {
			t.Errorf("%s: the page has noted %s", name, got)
		}
	})
	return p
}

// live waits until the page shows that it is up to date.
func (p *page) live() {
	p.t.Helper()
	p.Await(`document.querySelector("#connection")?.innerText.startsWith("open\nlive")`)
}

// cut presses the button that cuts the connection, and waits until the page is stale.
func (p *page) cut() {
	p.t.Helper()
	p.live()
	p.Run(`void document.querySelector("#connection button").click()`, nil)
	p.Await(`document.querySelector("#connection").innerText.startsWith("cut\nstale")`)
}

// mend ends a cut, unless it has ended by itself, and waits until the page is up to date.
func (p *page) mend() {
	p.t.Helper()
	p.Run(`{ const button = document.querySelector("#connection button"); if (button.textContent === "Connect again") button.click(); "" }`, nil)
	p.live()
}

// caughtUp ends a cut, and returns how many missed changes came.
func (p *page) caughtUp() (changes int) {
	p.t.Helper()
	p.mend()
	text := p.Run(`document.querySelector("#connection output").textContent`, nil)
	if _, err := fmt.Sscanf(text, "Caught up with %d missed", &changes); err != nil {
		p.t.Errorf("%s: after the cut it says %q", p.name, text)
	}
	return changes
}

// fits wants that the page is as wide as the window, in a wide and in a narrow one, and takes
// pictures of both.
func (p *page) fits() {
	p.t.Helper()
	for _, width := range []int{1280, 360} {
		p.Resize(width, 800)
		p.Await(fmt.Sprintf(`innerWidth === %d`, width))
		p.Run(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(""))))`, nil)
		var over int
		if p.Run(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &over); over > 0 {
			p.t.Errorf("%s: %d pixels are beyond a window of %d", p.name, over, width)
		}
		if *screenshots != "" {
			p.Screenshot(filepath.Join(*screenshots, fmt.Sprintf("%s-%d.png", strings.TrimSuffix("start-"+p.name, "/"), width)))
		}
	}
}

func testStartPage(t *testing.T, browser *transporttest.Chromium) {
	s := newSite(t)
	p := s.open(t, browser, "")
	p.fits()
	var links []string
	if p.Run(`[...document.links].map(link => link.href)`, &links); len(links) < 8 {
		t.Errorf("it has only the links %q", links)
	}
	for _, link := range links {
		answer, err := http.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", link, answer.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// tilesEqual compares the picture of the tiles with the server's state.
const tilesEqual = `(async () => {
	const items = []
	for (let after = "", next = ""; next !== undefined; after = "&after=" + next) {
		const answer = await (await fetch("/data?prefix=sensors/&limit=1000" + after)).json()
		items.push(...answer.items)
		next = answer.next
	}
	const canvas = document.getElementById("tiles")
	const size = Math.max(8, Math.floor(canvas.width / 100)), columns = Math.min(100, Math.floor(canvas.width / size))
	const want = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d")
	items.forEach(({value}, i) => {
		want.fillStyle = typeof value?.celsius === "number" ? "hsl(" + (220 - (value.celsius - 14) * 14) + " 70% 50%)" : "gray"
		want.fillRect(i % columns * size, Math.floor(i / columns) * size, size - 1, size - 1)
	})
	const pixels = context => new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer)
	const [a, b] = [pixels(canvas.getContext("2d")), pixels(want)]
	return items.length === SENSORS && a.length === b.length && a.every((pixel, i) => pixel === b[i]) ? "equal" : "different"
})()`

// writeSensors writes each sensor once. Its values are longer than those of the demo, so that
// the buffers of the network are full sooner.
func (s *site) writeSensors(count, n int) {
	padding := strings.Repeat("x", 600)
	for first := 0; first < count; first += 1000 {
		var items strings.Builder
		for i := first; i < min(first+1000, count); i++ {
			fmt.Fprintf(&items, `,{"key":"sensors/%02d/%03d","value":{"celsius":%d.%d,"n":%d,"padding":%q}}`, i/100+1, i%100+1, 14+(i+n)%16, n%10, n, padding)
		}
		s.call("POST", "/data", `{"items":[`+items.String()[1:]+`]}`)
	}
}

// conflated returns how many updates the open sessions have skipped.
func (s *site) conflated() (n int) {
	s.t.Helper()
	var list struct{ Sessions []struct{ Conflated int } }
	if err := json.Unmarshal(s.get("/sessions"), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, session := range list.Sessions {
		n += session.Conflated
	}
	return n
}

func testDashboard(t *testing.T, browser *transporttest.Chromium) {
	s := newSite(t)
	const sensors = 2000
	for i, bad := range []string{`null`, `7`, `{"celsius":"warm","n":{}}`, `[[]]`} {
		s.put(fmt.Sprint("sensors/99/", i), bad)
	}
	equal := fmt.Sprintf(`await (%s) === "equal"`, strings.ReplaceAll(tilesEqual, "SENSORS", fmt.Sprint(sensors+4)))
	s.writeSensors(sensors, 1)
	stop := s.background(func(ctx context.Context) error {
		for n := 2; ctx.Err() == nil; n++ {
			s.writeSensors(sensors, n)
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		return nil
	})
	slow := s.open(t, browser, "dashboard/")
	slow.live()
	before := s.conflated()
	slow.Run(`void document.getElementById("throttle").click()`, nil)
	transporttest.Eventually(t, "the server conflates", func() bool { return s.conflated() > before+100 })
	slow.Run(`void document.getElementById("throttle").click()`, nil)
	slow.Await(`/ [1-9]\d* versions skipped/.test(document.getElementById("figures").textContent)`)

	other := s.open(t, browser, "dashboard/")
	other.cut()
	s.writeSensors(sensors, 1)
	if n := other.caughtUp(); n < sensors {
		t.Errorf("after the cut %d changes came, and there are %d sensors", n, sensors)
	}
	other.fits()
	stop()
	for _, p := range []*page{slow, other} {
		p.live()
		p.await(equal)
	}
	// A line has the newest value of its sensor.
	var value struct{ Celsius float64 }
	if err := json.Unmarshal(s.list("sensors/01/001")["sensors/01/001"], &value); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*page{slow, other} {
		p.Await(fmt.Sprintf(`document.querySelector("#lines h2").textContent === "sensors/01/001: %.1f °C"`, value.Celsius))
		p.Run(`void document.getElementById("tiles").dispatchEvent(new MouseEvent("click", {clientX: tiles.getBoundingClientRect().left + 15 * tiles.width / 100, clientY: tiles.getBoundingClientRect().top + 3}))`, nil)
		p.Await(`document.querySelectorAll("#lines .card").length === 4`)
	}
}

// await is Await for a condition with await in it.
func (p *page) await(condition string) {
	p.t.Helper()
	transporttest.Eventually(p.t, condition, func() bool {
		var holds bool
		p.Run(`(async () => `+condition+`)()`, &holds)
		return holds
	})
}

func (p *page) say(text string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`say.elements.text.value = %q; say.requestSubmit(); ""`, text), nil)
}

func testChat(t *testing.T, browser *transporttest.Chromium) {
	s := newSite(t)
	ada, ben := s.open(t, browser, "chat/"), s.open(t, browser, "chat/")
	s.put("chat/lobby/messages/00", `null`)
	s.put("chat/lobby/messages/01", `{"from":["<b>"],"text":{"a":1}}`)
	rename := func(p *page, name string) {
		p.Run(fmt.Sprintf(`document.getElementById("name").value = %q; document.getElementById("name").dispatchEvent(new Event("change")); ""`, name), nil)
	}
	const people = `document.getElementById("people").textContent`
	rename(ada, "Ada")
	rename(ben, "Ben")
	ada.Await(people + ` === "Ada, Ben"`)
	ben.Await(people + ` === "Ada, Ben"`)

	ada.Run(`say.elements.text.dispatchEvent(new Event("input")); ""`, nil)
	ben.Await(`typing.textContent === "Ada …"`)
	ada.say("hello <img src=x onerror=alert(1)> \u202e")
	ben.Await(`messages.lastChild?.textContent.endsWith("Ada: hello <img src=x onerror=alert(1)> \u202e")`)
	ben.Await(`typing.textContent === ""`)

	ada.cut()
	ben.Await(people + ` === "Ben"`) // by the will
	ben.say("one")
	ben.say("two")
	ada.say("three") // waits for the connection
	if n := ada.caughtUp(); n != 2 && n != 3 {
		t.Errorf("%d missed messages, want those of Ben, and maybe Ada's own", n)
	}
	for _, p := range []*page{ada, ben} {
		p.Await(people + ` === "Ada, Ben"`)
		p.Await(`[...messages.children].slice(-3).map(line => line.lastChild.textContent).sort().join() === ": one,: three,: two"`)
	}
	ben.Run(`(async () => {
		const items = Array.from({length: 55}, (_, i) => ({key: "chat/lobby/messages/z" + (100 + i), value: {from: "Cem", text: "line " + i}}))
		await fetch("/data", {method: "POST", body: JSON.stringify({items})})
	})()`, nil)
	ada.Await(`messages.children.length === 50 && messages.lastChild.textContent.endsWith("line 54") && messages.scrollTop > 0`)
	ada.fits()

	ada.Run(`rooms.children[1].click(); ""`, nil)
	ben.Await(people + ` === "Ben"`)
	ada.Await(people + ` === "Ada" && messages.children.length === 0`)
	ben.cut()
	ben.live() // it comes back by itself
	ben.Run(`rooms.children[1].click(); ""`, nil)
	ada.Await(people + ` === "Ada, Ben"`)
	ben.Call("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	ada.Await(people + ` === "Ada"`)
}

// area is the text area of a paragraph.
func area(n int) string { return fmt.Sprintf(`document.querySelectorAll("textarea")[%d]`, n) }

// edit replaces a word of a paragraph, as pasting does.
func (p *page) edit(paragraph int, old, new string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`(() => {
		const area = %s, at = area.value.indexOf(%q)
		if (at < 0) throw area.value
		area.focus()
		area.setRangeText(%q, at, at + %d, "end")
		area.dispatchEvent(new Event("input"))
	})()`, area(paragraph), old, new, len(old)), nil)
}

func testEditing(t *testing.T, browser *transporttest.Chromium) {
	s := newSite(t)
	ready := make(chan struct{})
	s.background(func(ctx context.Context) error {
		return demo.Run(ctx, demo.Options{Server: s.server(), Ready: func() { close(ready) }})
	})
	<-ready
	s.put("document/blocks/zz", `7`)
	ada, ben := s.open(t, browser, "editing/"), s.open(t, browser, "editing/")
	s.put("document/blocks/zz", `null`)
	for _, bad := range []string{`null`, `7`, `{"id":[],"key":"document/blocks/zz","at":"x","name":{}}`} {
		s.publish("document/cursors", bad)
	}
	both := []*page{ada, ben}
	reads := func(paragraph int, text string) {
		t.Helper()
		for _, p := range both {
			p.Await(fmt.Sprintf(`%s?.value === %q`, area(paragraph), text))
		}
	}
	for _, p := range both {
		p.live()
	}
	reads(0, "Meeting notes")
	ada.edit(0, "Meeting", "Our meeting's")
	reads(0, "Our meeting's notes")
	ben.Await(`document.querySelector(".caret")?.dataset.name === ` + fmt.Sprintf("%q", ada.Run(`document.getElementById("name").value`, nil)))

	// Two people change different words at once, and one of them has no connection.
	ada.cut()
	ada.edit(0, "Our", "All")
	ada.edit(3, "Cut", "Break")
	ben.edit(0, "notes", "minutes")
	ben.edit(1, "key", "thing")
	s.await("/data/document/blocks/00-1", "minutes")
	s.await("/data/document/blocks/00-2", "thing")
	if n := ada.caughtUp(); n != 2 {
		t.Errorf("%d missed changes, want 2", n)
	}
	reads(0, "All meeting's minutes")
	reads(1, "Each paragraph is a thing of its own. Open this page in a second tab and type in both at once.")

	// Two people change the same word, and neither has seen the change of the other.
	ada.cut()
	ben.cut()
	ada.edit(0, "All", "Every")
	ben.edit(0, "All", "No")
	for _, p := range both {
		p.mend()
	}
	for _, p := range both {
		p.Await(area(0) + `.value.includes("⟪")`)
		for _, word := range []string{"Every", "No", "minutes"} {
			p.Await(fmt.Sprintf(`%s.value.includes(%q)`, area(0), word))
		}
	}
	ada.Run(`document.getElementById("append").click(); ""`, nil)
	for _, p := range both {
		p.Await(`document.querySelectorAll("textarea").length === 6`)
	}
	ben.edit(4, "", "The last paragraph")
	reads(4, "The last paragraph")
	ada.fits()
	ada.Run(`document.querySelectorAll(".block button")[2].click(); ""`, nil)
	for _, p := range both {
		p.Await(`document.querySelectorAll("textarea").length === 5`)
	}
	// Both type at once, at random places, through a cut.
	for i, p := range both {
		p.Run(fmt.Sprintf(`void (async () => {
			for (let n = 0; n < 60; n++) {
				const areas = document.querySelectorAll("textarea"), area = areas[Math.floor(Math.random() * 4)]
				const at = Math.floor(Math.random() * area.value.length)
				area.setRangeText("%d", at, at + (n %% 3 === 0), "end")
				area.dispatchEvent(new Event("input"))
				if (n === 10 + 15 * %d) document.querySelector("#connection button").click()
				if (n === 40) document.querySelector("#connection button").click()
				await new Promise(done => setTimeout(done, 20))
			}
			window.typed = true
		})()`, i, i), nil)
	}
	for _, p := range both {
		p.Await(`window.typed`)
		p.live()
	}
	// Both end at the server's state.
	for _, p := range both {
		p.await(`JSON.stringify([...document.querySelectorAll("textarea")].map(area => area.value)) ===
			JSON.stringify((await (await fetch("/data?prefix=document/blocks/")).json()).items.map(item => item.value?.text ?? ""))`)
	}
}

func testDevices(t *testing.T, browser *transporttest.Chromium) {
	s := newSite(t)
	const devices = 20
	run := func(prefix string) (stop func()) {
		fleet := demo.NewFleet(demo.FleetOptions{Server: s.server(), Devices: devices, First: 1, Prefix: prefix, Interval: 200 * time.Millisecond})
		return s.background(fleet.Run)
	}
	for _, key := range []string{"devices/8", "devices/x/state", "devices/<b>/reading", "devices/9/lamp", "devices/a/b/c/d"} {
		s.put(key, `null`)
	}
	stop := run("devices")
	p := s.open(t, browser, "devices/")
	count := func(selector string, n int) string {
		return fmt.Sprintf(`document.querySelectorAll('#map %s').length === %d`, selector, n)
	}
	p.Await(count(`[data-state="online"]`, devices))
	p.Await(`[...document.querySelectorAll("#map button")].every((tile, i) => tile.textContent.startsWith(i + 1 + "\n"))`)
	p.Run(`map.children[6].click(); ""`, nil)
	p.Await(`map.children[6].dataset.lamp === "on"`)
	if got := string(s.list("devices/7/lamp")["devices/7/lamp"]); !strings.HasPrefix(got, `{"lamp":"on","command":`) {
		t.Errorf("the device has answered %s", got)
	}
	other := s.open(t, browser, "devices/")
	other.Await(`map.children[6]?.dataset.lamp === "on"`)
	other.Run(`map.children[6].click(); ""`, nil)
	p.Await(`map.children[6].dataset.lamp === "off"`)

	p.cut()
	p.Run(`map.children[2].click(); ""`, nil)
	stop()
	other.Await(count(`[data-state="offline"]`, devices))
	if n := p.caughtUp(); n < devices {
		t.Errorf("%d missed changes, and %d devices have changed their state", n, devices)
	}
	p.Await(count(`[data-state="offline"]`, devices))
	p.Await(`map.children[2].dataset.lamp === "waiting"`)
	run("devices")
	p.Await(count(`[data-state="online"]`, devices))
	p.Await(`map.children[2].dataset.lamp === "on"`) // it has obeyed a command that it had missed
	p.Await(`/^20 online, 0 offline, [1-9]/.test(figures.textContent)`)
	p.fits()
}
