//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"rtdb/keyspace/journal"
	"rtdb/transport/transporttest"
)

// keepsUp is a page that shows all keys. It resumes after it has lost its connection, and
// counts its resets.
const keepsUp = `
	shown = {}, resets = 0, connections = 0
	let revision, epoch
	const connect = () => {
		const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws", "rtdb.v1")
		socket.onopen = () => {
			const resume = revision === undefined ? {snapshot: true} : {since: revision, epoch}
			socket.send(JSON.stringify({id: 1, action: "subscribe", pattern: "#", ...resume}))
		}
		let missed = [] // until the reply says whether it is everything
		const show = m => { m.deleted ? delete shown[m.key] : shown[m.key] = m.value }
		socket.onmessage = e => {
			const m = JSON.parse(e.data)
			if (m.revision !== undefined) revision = m.revision
			if (m.epoch !== undefined) epoch = m.epoch
			if (m.key !== undefined) missed ? missed.push(m) : show(m)
			if (m.id !== 1) return
			if (m.reset) { resets++; shown = {} }
			missed.forEach(show)
			missed = undefined
			connections++
		}
		socket.onclose = () => setTimeout(connect, 50)
	}
	connect()
	""`

// A page that stays open shows the server's state after its server was killed, was
// restarted, and was replaced by a backup on another disk. Only the backup resets it.
func testAPageOutlivesItsServer(t *testing.T, browser *transporttest.Chromium) {
	dir := t.TempDir()
	server := startKept(t, dir)
	port := server.url[strings.LastIndex(server.url, ":")+1:]
	page := browser.Open(t, server.url+"/healthz")
	page.Run(keepsUp, nil)
	page.Await(`connections === 1`)
	n := 0
	write := func(keys int) {
		t.Helper()
		for range keys {
			n++
			server.write("PUT", fmt.Sprint("/data/k/", n%10), fmt.Sprintf(`{"value":{"n":%d}}`, n), http.StatusOK)
		}
		server.write("DELETE", fmt.Sprint("/data/k/", n%10), "", http.StatusNoContent)
	}
	agrees := func(resets int) {
		t.Helper()
		var listing struct {
			Items []struct {
				Key   string
				Value any
			}
		}
		if err := json.Unmarshal([]byte(server.write("GET", "/data", "", http.StatusOK)), &listing); err != nil {
			t.Fatal(err)
		}
		page.Await(fmt.Sprintf(`Object.keys(shown).length === %d`, len(listing.Items)))
		for _, item := range listing.Items {
			page.Await(fmt.Sprintf(`JSON.stringify(shown[%q]) === %q`, item.Key, jsonText(t, item.Value)))
		}
		page.Await(fmt.Sprintf(`resets === %d`, resets))
	}
	write(25)
	agrees(0)

	server.kill()
	server = startKept(t, dir, "--port", port)
	write(7) // the page may be back or not
	page.Await(`connections === 2`)
	agrees(0)

	status, archive := server.call("GET", "/backup", "")
	if status != http.StatusOK {
		t.Fatal(archive)
	}
	write(13) // is not in the backup
	agrees(0)

	server.stop()
	server = startKept(t, dir, "--port", port)
	page.Await(`connections === 3`)
	write(3)
	agrees(0)

	server.stop()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if _, err := journal.Restore(elsewhere, strings.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	server = startKept(t, elsewhere, "--port", port)
	page.Await(`connections === 4`)
	agrees(1)
	write(5)
	agrees(1)
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The README's page shows a live value in two windows, fades while its server is away, and
// then shows the value that was written meanwhile.
func testTheReadmesPage(t *testing.T, browser *transporttest.Chromium) {
	dir := t.TempDir()
	pages := filepath.Join(dir, "pages")
	saveReadmePage(t, pages)
	server := startKept(t, filepath.Join(dir, "data"), "--public", pages)
	url := strings.Replace(server.url, "127.0.0.1", "localhost", 1) + "/"
	one, two := browser.Open(t, url), browser.Open(t, url)
	shows := func(text string, opacity int) {
		t.Helper()
		for _, p := range []*transporttest.Page{one, two} {
			p.Await(fmt.Sprintf(`now.textContent === %q && (+now.style.opacity === 1) === (%d === 1)`, text, opacity))
		}
	}
	shows("unknown", 1)
	one.Run(`up.click()`, nil)
	shows("21", 1)
	server.write("POST", "/data/temperature", `{"value":22}`, http.StatusOK)
	shows("22", 1)
	port := server.url[strings.LastIndex(server.url, ":")+1:]
	server.kill()
	shows("22", 0)
	server = startKept(t, filepath.Join(dir, "data"), "--public", pages, "--port", port)
	server.write("POST", "/data/temperature", `{"value":23}`, http.StatusOK)
	shows("23", 1)
	two.Run(`up.click()`, nil)
	shows("24", 1)
}
