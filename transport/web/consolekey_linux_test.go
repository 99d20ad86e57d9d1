package web_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A key is read, edited and saved as it is written, made and deleted. Its changes are listed.
func testConsoleKey(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	const value = `{"big":12345678901234567890,"price":1.50,"e":1e400,"text":"\u00e9<b>","list":[1,2]}`
	set(t, s, "a/b", value)
	p := openConsole(t, browser, s.URL(), "#/keys/a/b")
	const want = "{\n  \"big\": 12345678901234567890,\n  \"price\": 1.50,\n  \"e\": 1e400,\n  \"text\": \"\\u00e9<b>\",\n  \"list\": [1, 2]\n}"
	p.Await(`document.querySelector("json-editor textarea")?.value === ` + quote(want))
	p.sees("json-editor .problem", "valid JSON")

	// A text is checked while it is typed. Only a value can be saved.
	p.write("json-editor textarea", "{\n  \"a\": 1,\n  \"b\": tru\n}")
	p.sees("json-editor .problem.wrong", "line 3, column 8: expected a value")
	p.Await(find("button", "Save") + `.disabled`)
	p.write("json-editor textarea", "{\n \"big\": 98765432109876543210,\t\"price\": 2.00 }")
	p.press("Ctrl+s")
	p.sees(".message", "saved")
	if got := valueOf(s, "a/b"); got != `{"big":98765432109876543210,"price":2.00}` {
		t.Errorf("saved %s", got)
	}

	// Writes of others are shown, if the text was not edited.
	set(t, s, "a/b", `"new"`)
	p.Await(`document.querySelector("json-editor textarea").value === '"new"'`)
	for i := range 130 {
		set(t, s, "a/b", fmt.Sprint(i))
	}
	p.Await(`document.querySelector("json-editor textarea").value === "129"`)
	p.Await(`document.querySelectorAll(".changes li").length === 100`)
	p.sees(".changes li", "129")
	p.Await(`document.querySelector("change-list svg path").getAttribute("d").split("L").length > 90`)
	p.sees("change-list .range", "30 … 129")

	// A new key.
	p.press("Escape")
	p.press("Escape")
	p.Await(`document.querySelector("key-page") === null`)
	p.press("n")
	p.write("dialog input", "new/../key")
	p.sees("dialog .problem.wrong", "neither")
	p.write("dialog input", "new/ä key")
	p.press("Enter")
	p.sees(".meta", "no such key")
	p.write("json-editor textarea", `[true]`)
	p.click("button", "Save")
	p.sees(".message", "saved")
	if got := valueOf(s, "new/ä key"); got != "[true]" {
		t.Errorf("the new key is %s", got)
	}

	// A text that is not saved is not thrown away by mistake.
	p.write("json-editor textarea", `"unsaved"`)
	p.press("Escape", "Escape")
	p.sees("dialog", "Discard your text?")
	p.click("dialog button", "Cancel")
	p.Await(`document.querySelector("json-editor textarea").value === '"unsaved"' && decodeURIComponent(location.hash) === "#/keys/new/ä key"`)
	p.click("button", "Revert")

	p.click("button", "Delete…")
	p.sees("dialog", "new/ä key")
	p.click("dialog button", "Cancel")
	p.click("button", "Delete…")
	p.click("dialog button.danger", "Delete")
	p.sees(".message", "deleted")
	if _, err := s.Keyspace.Get("new/ä key"); !errors.Is(err, keyspace.ErrNotFound) {
		t.Errorf("after the delete: %v", err)
	}
}

// If another writer was faster, the difference is shown. The user overwrites, or takes
// theirs.
func testConsoleConflict(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	proxy := transporttest.NewProxy(t, s.Addr)
	set(t, s, "k", `{"a":1,"b":{"c":2}}`)
	p := openConsole(t, browser, proxy.URL(), "#/keys/k")
	p.Await(`document.querySelector("json-editor textarea")?.value.includes("c")`)
	p.write("json-editor textarea", `{"a":1,"b":{"c":3}}`)
	set(t, s, "k", `{"a":1,"b":{"c":4}}`)
	p.sees(".conflict .removed", `"c": 4`)
	p.sees(".conflict .added", `"c": 3`)
	p.click("button", "Take theirs")
	p.Await(`document.querySelector("json-editor textarea").value.includes('"c": 4')`)

	p.write("json-editor textarea", `"mine"`)
	set(t, s, "k", `"theirs"`)
	p.click("button", "Overwrite with mine")
	p.sees(".message", "saved")
	if got := valueOf(s, "k"); got != `"mine"` {
		t.Errorf("overwritten with %s", got)
	}

	// The server refuses a save that comes too late, even if the page does not know yet.
	p.write("json-editor textarea", `"late"`)
	p.Run(`late = fetch; fetch = async (...args) => { await new Promise(done => go = done); return late(...args) }; ""`, nil)
	p.press("Ctrl+s")
	p.Await(`typeof go === "function"`)
	set(t, s, "k", `"early"`)
	p.Run(`fetch = late; go(); ""`, nil)
	p.sees(".conflict .removed", `"early"`)
	if got := valueOf(s, "k"); got != `"early"` {
		t.Errorf("a save that came too late wrote %s", got)
	}
	if _, err := s.Keyspace.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	p.sees(".conflict", "deleted this key")
	p.click("button", "Overwrite with mine")
	p.sees(".message", "saved")
	if got := valueOf(s, "k"); got != `"late"` {
		t.Errorf("after a delete, overwritten with %s", got)
	}

	// Without a connection nothing is lost, and the page says that it has no answer.
	p.write("json-editor textarea", `"offline"`)
	proxy.Refuse(true)
	proxy.Cut()
	p.sees("key-page .badge.stale", "stale")
	p.press("Ctrl+s")
	p.sees(".message .wrong", "no answer")
	proxy.Refuse(false)
	p.lacks("key-page .badge.stale", "stale")
	p.press("Ctrl+s")
	p.sees(".message", "saved")

	// The page reads the key after a new connection. An answer that is older than a save, a
	// touch or an update changes nothing.
	cutAndHold := func(text string) {
		p.Run(`new Promise(done => setTimeout(() => done(""), 1500))`, nil) // it reads the key again a second after an update
		p.Run(`early = fetch; waits = false; held = new Promise(done => go = done); fetch = async (...args) => {
			const answer = await early(...args)
			if (args[1].method === "GET" && String(args[0]).endsWith("/data/k")) { waits = true; await held }
			return answer
		}; ""`, nil)
		p.write("json-editor textarea", text)
		proxy.Cut()
		p.Await(`waits`)
	}
	release := func() { p.Run(`fetch = early; go(); new Promise(done => setTimeout(() => done(""), 100))`, nil) }
	cutAndHold(`"newer"`)
	p.Run(`before = document.querySelector("key-page .meta").textContent; ""`, nil)
	p.press("Ctrl+s")
	p.Await(`document.querySelector("key-page .meta").textContent !== before`)
	p.write("time-to-live input", "100")
	p.click("time-to-live button", "Set")
	p.sees("time-to-live .left", "expires in")
	release()
	var text string
	if p.Run(`document.querySelector("json-editor textarea").value`, &text); text != `"newer"` {
		t.Errorf("after the older answer the page shows %s", text)
	}
	if p.Run(`document.querySelector("time-to-live .left").textContent`, &text); !strings.HasPrefix(text, "expires in") {
		t.Errorf("after the older answer the key is %s", text)
	}
	p.sees(".message", "saved")

	cutAndHold(`"mine"`)
	p.lacks("key-page .badge.stale", "stale")
	set(t, s, "k", `"theirs"`)
	p.sees(".conflict .removed", `"theirs"`)
	release()
	if got := p.text(".conflict .removed"); !strings.Contains(got, `"theirs"`) {
		t.Errorf("after the older answer the difference has %q", got)
	}
}

// The time to live is shown, set and cleared, and a save keeps it.
func testConsoleTimeToLive(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	set(t, s, "k", `1`)
	p := openConsole(t, browser, s.URL(), "#/keys/k")
	p.sees("time-to-live", "permanent")
	left := func() time.Duration {
		t.Helper()
		e, err := s.Keyspace.Get("k")
		if err != nil {
			t.Fatal(err)
		}
		return e.TTL.Round(time.Minute)
	}
	p.write("time-to-live input", "7200")
	p.press("Enter")
	p.sees("time-to-live .left", "expires in 2 h 0 min")
	if got := left(); got != 2*time.Hour {
		t.Errorf("the key lives for %v", got)
	}
	p.write("json-editor textarea", "2")
	p.press("Ctrl+s")
	p.sees(".message", "saved")
	if got := left(); got != 2*time.Hour {
		t.Errorf("after a save the key lives for %v", got)
	}
	p.click("button", "Keep for ever")
	p.sees("time-to-live", "permanent")
	if got := left(); got != 0 || valueOf(s, "k") != "2" {
		t.Errorf("the key lives for %v, and is %s", got, valueOf(s, "k"))
	}
	p.write("time-to-live input", "1.2")
	p.press("Enter")
	p.sees("time-to-live .left", "expires in")
	p.sees(".meta", "no such key")
	if !strings.Contains(p.text(".changes"), "deleted") {
		t.Errorf("the changes do not have the expiry: %s", p.text(".changes"))
	}
}
