package web_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// All can be done with the keyboard.
func testConsoleKeyboard(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	set(t, s, "a/b", "1", "c", "2")
	p := openConsole(t, browser, s.URL(), "")
	wantRows(t, p, "a|1|", "c||2")
	p.press("ArrowRight")
	p.Await(`document.activeElement.matches("virtual-list") && getComputedStyle(document.querySelector(".row.current")).outlineStyle === "solid"`)
	wantRows(t, p, "a|1|", "b||1", "c||2")
	p.press("ArrowDown", "Enter")
	p.Await(`document.querySelector("key-page h2 bdi")?.textContent === "a/b" && document.activeElement.matches("key-page h2")`)
	for range 30 { // Tab reaches the editor
		if p.Run(`document.activeElement.tagName`, nil) == "TEXTAREA" {
			break
		}
		p.press("Tab")
	}
	p.Await(`document.activeElement.matches("json-editor textarea:focus-visible") && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	p.press("Escape", "Escape")
	p.Await(`document.querySelector("key-page") === null && document.activeElement.matches("virtual-list")`)
	p.press("ArrowLeft")
	p.Await(`document.querySelector(".row.current").getAttribute("aria-expanded") === "true"`)
	p.press("ArrowLeft")
	p.Await(`document.querySelector(".row.current").getAttribute("aria-expanded") === "false"`)
	p.press("c")
	p.sees("dialog pre", "pattern=a%2F%23")
	p.press("Escape", "?")
	p.sees("dialog", "copy as curl")
	p.press("Escape")
	for key, page := range map[string]string{"2": "topics-page", "3": "sessions-page", "4": "server-page", "5": "delete-page", "1": "keys-page"} {
		p.press(key)
		p.Await(`document.querySelector("` + page + `") !== null`)
	}
	p.press("1")
	// If the user wants less motion, a change is marked without an animation.
	p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-reduced-motion", "value": "reduce"}}}, nil)
	p.sees(".row", "c")
	p.sees(".state", "live")
	transporttest.Eventually(t, "a mark of a change", func() bool {
		set(t, s, "c", fmt.Sprint(time.Now().UnixNano()))
		return p.Run(`[...document.querySelectorAll(".value")].flatMap(e => e.getAnimations()).map(a => a.effect.getTiming().easing)[0]`, nil) == "steps(1)"
	})
	p.press("5")
	p.sees("delete-page", "Delete by pattern")
	p.press("/")
	p.Await(`document.activeElement.matches("delete-page input")`)
}

// Each page is readable at two widths, in light and in dark. The variable RTDB_SCREENSHOTS
// names a folder for pictures of them.
func testConsoleLooks(t *testing.T, browser *transporttest.Chromium) {
	dir := os.Getenv("RTDB_SCREENSHOTS")
	s := transporttest.NewServer(t, transport.Options{Console: true})
	for i := range 40 {
		set(t, s, fmt.Sprintf("devices/%02d/state", i), fmt.Sprintf(`{"temp":%d.50,"online":true,"name":"Pump %d"}`, 15+i%9, i))
	}
	set(t, s, "building/3", `{"name":"North","floors":4}`, "building/3/temp", "21.50", "building/3/humidity", "44", "greeting", `"hello <b>world</b>"`)
	set(t, s, "config/limits", `{"max":12345678901234567890,"tags":["a","b"],"nested":{"deep":{"er":[1,2,3]}}}`)
	slow := dial(t, s, `{"action":"hello","client":"lobby-screen","id":1}`, `{"action":"subscribe","pattern":"#","id":2}`, `{"action":"subscribe","topic":"chat/1","id":3}`)
	for range 3 {
		next(t, slow)
	}
	proxy := transporttest.NewProxy(t, s.Addr)
	p := openConsole(t, browser, proxy.URL(), "")
	pages := map[string]func(){
		"keys": func() {
			p.Run(`location.hash = "#/keys"; document.querySelector("virtual-list").go(0); ""`, nil)
			p.sees(".row", "building")
			if !strings.Contains(strings.Join(p.rows(), "\n"), "temp") {
				p.Run(`tree = document.querySelector("key-tree"); tree.levels.open(tree.levels.rows[0]).then(() => tree.levels.open(tree.levels.rows[1])).then(() => "")`, nil)
			}
			p.sees(".row", "humidity")
		},
		"key": func() {
			p.Run(`location.hash = "#/keys/building/3/temp"`, nil)
			p.sees(".meta", "version")
			for i := range 20 {
				set(t, s, "building/3/temp", fmt.Sprintf("%d.50", 20+i*i%7))
			}
			p.sees("change-list h3", "Last")
		},
		"conflict": func() {
			p.Run(`location.hash = "#/keys/config/limits"`, nil)
			p.Await(`document.querySelector("json-editor textarea")?.value.includes("max")`)
			p.Run(`(() => { const a = document.querySelector("json-editor textarea"); a.value = a.value.replace('"a"', '"mine"'); a.dispatchEvent(new Event("input")) })()`, nil)
			set(t, s, "config/limits", `{"max":1,"tags":["a","b"],"nested":{"deep":{"er":[1,2,3]}}}`)
			p.sees(".conflict", "changed")
		},
		"topics": func() {
			p.Run(`location.hash = "#/topics?follow=chat%2F%23"`, nil)
			p.click("dialog button", "Discard") // the text of the conflict
			transporttest.Eventually(t, "a message", func() bool {
				_ = s.Keyspace.Publish(t.Context(), "chat/1", []byte(`{"from":"ann","text":"hello, is the pump on?"}`))
				return strings.Count(p.text(".messages"), "pump") > 4
			})
		},
		"sessions": func() {
			p.Run(`location.hash = "#/sessions"`, nil)
			p.sees("table.sessions", "lobby-screen")
			p.Await(`document.querySelector("table.ends tbody").childElementCount > 0`)
		},
		"server": func() {
			p.Run(`location.hash = "#/server"`, nil)
			p.sees(".card strong", "/s")
		},
		"delete": func() {
			p.Run(`location.hash = "#/delete?pattern=devices%2F%2B%2Fstate"`, nil)
			p.click("button", "Count")
			p.sees("delete-page .problem", "40 keys")
		},
		"copy": func() {
			p.Run(`location.hash = "#/keys/building/3/temp"`, nil)
			p.sees(".meta", "version")
			p.click("key-page button", "Copy as…")
		},
		"stale": func() {
			proxy.Refuse(true)
			proxy.Cut()
			p.sees(".badge.stale", "not connected")
		},
		"help": func() { p.press("?") },
		"signin": func() {
			proxy.Refuse(false)
			p.click("button", "Sign in")
		},
	}
	order := []string{"keys", "key", "conflict", "topics", "sessions", "server", "delete", "copy", "help", "stale", "signin"}
	for _, name := range order {
		for _, scheme := range []string{"light", "dark"} {
			p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
			for _, width := range []int{1280, 360} {
				p.Resize(width, 800)
				if scheme == "light" && width == 1280 {
					pages[name]()
				}
				p.Run(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))`, nil)
				var wide int
				p.Run(`document.documentElement.scrollWidth`, &wide)
				if wide > width {
					t.Errorf("%s: the page is %d pixels wide in a window of %d", name, wide, width)
				}
				for _, bad := range p.contrasts() {
					t.Errorf("%s at %d, %s: %s", name, width, scheme, bad)
				}
				if dir != "" {
					p.Screenshot(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)))
				}
			}
		}
		p.Run(`document.querySelector("dialog")?.close()`, nil)
	}
}

// contrasts returns the visible texts with less contrast to their background than AA asks for
// (WCAG 2.2, success criterion 1.4.3), and the controls whose border has less (1.4.11).
func (p *tab) contrasts() (bad []string) {
	p.t.Helper()
	p.Run(`(() => {
		const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
		const colors = new Map()
		const rgba = color => {
			if (!colors.has(color)) {
				canvas.clearRect(0, 0, 1, 1)
				canvas.fillStyle = color
				canvas.fillRect(0, 0, 1, 1)
				const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data
				colors.set(color, [r, g, b, a / 255])
			}
			return colors.get(color)
		}
		const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1]
		const background = e => {
			const layers = []
			for (; e; e = e.parentElement) {
				const c = rgba(getComputedStyle(e).backgroundColor)
				layers.push(c)
				if (c[3] === 1) break
			}
			return layers.reverse().reduce((below, c) => over(c, below), [255, 255, 255, 1])
		}
		const luminance = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
			.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
		const ratio = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((x, y) => y - x); return (x + 0.05) / (y + 0.05) }
		const bad = new Set()
		for (const e of document.querySelectorAll("body *")) {
			if (!e.checkVisibility() || e.getAnimations().length > 0) continue
			const style = getComputedStyle(e), back = background(e)
			const isField = e.matches("input, textarea"), hasText = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim() !== "")
			const isDisabled = e.closest(":disabled") !== null
			let opacity = 1
			for (let o = e; o; o = o.parentElement) opacity *= getComputedStyle(o).opacity
			if (hasText || isField) {
				const r = ratio(over(rgba(style.color).with(3, rgba(style.color)[3] * opacity), back), back)
				if (r < 4.5 && !isDisabled) bad.add(e.tagName + "." + e.className + " has a contrast of " + r.toFixed(2) + ": " + e.textContent.slice(0, 30))
			}
			if (e.matches("input:not([type=radio]), textarea, select, button:not(.link)") && !isDisabled && e.parentElement) {
				const r = Math.max(ratio(rgba(style.borderTopColor), background(e.parentElement)), ratio(back, background(e.parentElement)))
				if (r < 3) bad.add("the border of " + e.tagName + "." + e.className + " has a contrast of " + r.toFixed(2))
			}
		}
		return [...bad]
	})()`, &bad)
	return bad
}
