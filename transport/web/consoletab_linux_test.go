package web_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"rtdb/transport/transporttest"
)

// A tab shows the console. The test works it as a user does.
type tab struct {
	*transporttest.Page
	t   *testing.T
	url string // of the console
}

// watch runs in the page before its own scripts. It notes events that must not happen.
const watch = `
	window.seen = []
	window.ran = 0
	addEventListener("securitypolicyviolation", e => seen.push("policy: " + e.violatedDirective + " " + e.blockedURI), true)
	addEventListener("error", e => seen.push("error: " + e.message), true)
	addEventListener("unhandledrejection", e => seen.push("rejection: " + e.reason))`

// openConsole opens the console of the server at a fragment of its address. At the end of the
// test nothing must have gone wrong in the page.
func openConsole(t *testing.T, browser *transporttest.Chromium, server, fragment string) *tab {
	t.Helper()
	p := &tab{browser.Open(t, "about:blank"), t, server + "/console/"}
	p.Resize(1280, 800)
	p.Call("Page.enable", nil, nil)
	p.Call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil) // it is visible, though other tabs are in front
	p.Call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": watch}, nil)
	p.visit(fragment)
	t.Cleanup(func() {
		if seen := p.Run(`JSON.stringify({seen, ran: window.ran})`, nil); seen != `{"seen":[],"ran":0}` {
			t.Errorf("in the page: %s", seen)
		}
	})
	return p
}

// visit loads the console anew.
func (p *tab) visit(fragment string) {
	p.t.Helper()
	p.Call("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	p.Call("Page.navigate", map[string]any{"url": p.url + fragment}, nil)
	p.Await(`location.href.startsWith("http") && document.querySelector("rtdb-console main > :not(.hint)") !== null`)
}

// quote makes a JavaScript literal.
func quote(text string) string {
	literal, err := json.Marshal(text)
	if err != nil {
		panic(err) // it is a string
	}
	return string(literal)
}

// find returns an expression for the visible element of a selector that contains a text.
func find(selector, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%s)].find(e => e.checkVisibility() && e.textContent.includes(%s))`, quote(selector), quote(text))
}

// sees waits until an element contains a text.
func (p *tab) sees(selector, text string) {
	p.t.Helper()
	p.Await(find(selector, text) + ` !== undefined`)
}

// lacks waits until no element contains the text.
func (p *tab) lacks(selector, text string) {
	p.t.Helper()
	p.Await(find(selector, text) + ` === undefined`)
}

// click clicks an element with the mouse when it is there and enabled.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	p.Await(find(selector, text) + `?.disabled === false || ` + find(selector, text) + `?.disabled === undefined && ` + find(selector, text) + ` !== undefined`)
	var at struct{ X, Y float64 }
	p.Run(`(() => {
		const e = `+find(selector, text)+`
		e.scrollIntoView({block: "nearest"})
		const r = e.getBoundingClientRect()
		return {x: r.x + r.width / 2, y: r.y + r.height / 2}
	})()`, &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.Call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// write replaces the text of a field, as by typing.
func (p *tab) write(selector, text string) {
	p.t.Helper()
	p.Await(find(selector, "") + `?.disabled === false`)
	p.Run(find(selector, "")+`.focus(); document.activeElement.select()`, nil)
	if text == "" {
		p.press("Delete")
		return
	}
	p.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// codes are the virtual key codes of keys with a name.
var codes = map[string]int{
	"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "PageDown": 34,
	"Home": 36, "End": 35, "Tab": 9, "Delete": 46, "Backspace": 8,
}

// press presses keys one after the other: characters, or keys with a name. "Ctrl+s" holds Ctrl.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		event := map[string]any{"type": "keyDown"}
		if rest, ok := strings.CutPrefix(key, "Ctrl+"); ok {
			key = rest
			event["modifiers"] = 2
			event["type"] = "rawKeyDown"
		} else if len(key) == 1 {
			event["text"] = key
		} else if key == "Enter" {
			event["text"] = "\r"
		}
		event["key"] = key
		event["windowsVirtualKeyCode"] = codes[key]
		if len(key) == 1 {
			event["windowsVirtualKeyCode"] = int(strings.ToUpper(key)[0])
		}
		p.Call("Input.dispatchKeyEvent", event, nil)
		event["type"] = "keyUp"
		delete(event, "text")
		p.Call("Input.dispatchKeyEvent", event, nil)
	}
}

// text returns the text of an element.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return p.Run(`document.querySelector(`+quote(selector)+`)?.textContent ?? ""`, nil)
}

// rows is an expression for the rows of the tree, each as "name|count|value".
const rows = `[...document.querySelectorAll("key-tree .row")].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
	.map(r => [...r.children].map(c => (c.querySelector("bdi") ?? c).textContent).join("|"))`

// rows returns the rows of the tree that have elements.
func (p *tab) rows() (list []string) {
	p.t.Helper()
	p.Run(rows, &list)
	return list
}
