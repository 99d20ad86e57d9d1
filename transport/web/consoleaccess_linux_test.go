package web_test

import (
	"strings"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/auth"
	"rtdb/transport/transporttest"
)

// The user signs in with a token, and sees which rights it lacks. The token is in memory only.
func testConsoleAccess(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true, Keys: transporttest.Keys(t)})
	set(t, s, "devices/7/temp", "1", "devices/7", "2", "secret", "3", "own/a/state", "4")
	p := openConsole(t, browser, s.URL(), "")
	p.sees("sign-in", "asks for a token")
	p.write("sign-in input", "not a token")
	p.press("Enter")
	p.sees("sign-in .problem", "three parts")
	p.write("sign-in input", transporttest.Token(t, "", `{"admin":true}`, time.Nanosecond))
	p.press("Enter")
	p.sees("sign-in .problem", "expired")
	p.write("sign-in input", strings.Repeat("e30.", 2)+"e30")
	p.press("Enter")
	p.sees("sign-in p", "did not take the token")

	token := transporttest.Token(t, "ann", `{"read":["devices/#","own/+/state"],"write":["devices/7/temp"],"listen":["chat/#"]}`, time.Hour)
	p.write("sign-in input", token)
	p.press("Enter")
	wantRows(t, p, "devices|2|", "own/a/state||4")
	p.sees(".state", "live")
	p.sees("nav a.lacks", "Sessions")
	p.sees("nav a.lacks", "Server")
	p.click("button.account", "ann")
	p.sees("dialog dd", "devices/#")
	p.sees("dialog dd.no", "no")
	p.press("Escape")

	p.Run(`location.hash = "#/keys/devices/7"`, nil)
	p.sees("key-page .lack", "does not grant “write”")
	p.Await(`document.querySelector("json-editor textarea").disabled && ` + find("button", "Delete…") + `.disabled`)
	p.Run(`location.hash = "#/keys/devices/7/temp"`, nil)
	p.Await(`document.querySelector("json-editor textarea").value === "1"`)
	p.write("json-editor textarea", "5")
	p.press("Ctrl+s")
	p.sees(".message", "saved")
	p.Run(`location.hash = "#/keys/secret"`, nil)
	p.sees("key-page .lack", "does not grant “read”")
	p.Run(`location.hash = "#/delete?pattern=devices%2F%23"`, nil)
	p.sees("delete-page .wrong", "does not grant “write”")
	p.Run(`location.hash = "#/topics?follow=private"`, nil)
	p.sees("topic-tail .wrong", "does not grant “listen”")
	p.Run(`location.hash = "#/sessions"`, nil)
	p.sees("sessions-page .lack", "does not have “admin”")
	p.Run(`location.hash = "#/server"`, nil)
	p.sees("server-page .lack", "does not have “admin”")

	// The token is neither in the address, nor in the storage, nor in the document.
	kept := p.Run(`JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, document.cookie, document.documentElement.outerHTML,
		[...document.querySelectorAll("input, textarea")].map(e => e.value), performance.getEntriesByType("resource").map(e => e.name)])`, nil)
	if secret := token[strings.LastIndexByte(token, '.')+1:]; strings.Contains(kept, secret) || len(kept) < 100 {
		t.Errorf("the token is kept in %s", kept)
	}
	p.visit("#/keys")
	p.sees("sign-in", "asks for a token")

	p.write("sign-in input", transporttest.Token(t, "", `{"read":["#"],"admin":true}`, time.Hour))
	p.press("Enter")
	p.sees(".summary", "4 keys")
	p.Run(`location.hash = "#/server"`, nil)
	p.sees(".card strong", "iB") // MiB, or GiB if the other tests of the process take much
	p.click("button.account", "token")
	p.click("dialog button", "Sign out")
	p.sees("sign-in", "asks for a token")
}

// A token that is about to expire is replaced without a new page. Text that is typed stays.
func testConsoleRenewal(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true, Keys: transporttest.Keys(t)})
	set(t, s, "k", "1")
	p := openConsole(t, browser, s.URL(), "#/keys/k")
	p.write("sign-in input", transporttest.Token(t, "ann", `{"read":["#"],"write":["#"]}`, 32*time.Second))
	p.press("Enter")
	p.sees(".banner", "The token expires in")
	p.write("json-editor textarea", `"typed"`)
	p.write(".banner input", transporttest.Token(t, "ann", `{"read":["k"]}`, time.Hour))
	p.press("Enter")
	p.Await(`document.querySelector(".banner").hidden`)
	if got := p.Run(`document.querySelector("json-editor textarea").value`, nil); got != `"typed"` {
		t.Errorf("after the renewal the text is %s", got)
	}
	p.sees(".state", "live")
	p.click("button.account", "ann")
	p.sees("dialog dd code", "k")
	p.press("Escape")
}

// If the operator's calls are refused, the page gives the reason and the remedy.
func testConsoleRefusals(t *testing.T, browser *transporttest.Chromium) {
	other := transporttest.NewServer(t, transport.Options{Console: true, Admin: true})
	p := openConsole(t, browser, other.URL(), "#/server")
	p.sees("server-page .lack", "--admin-addr")
	p.press("3")
	p.sees("sessions-page .lack", "--admin-addr")
	p.press("2")
	p.sees(".topics .lack", "--admin-addr")

	// A server that loads its state is asked again.
	p.Call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `(() => {
		let calls = 0
		const real = fetch
		window.fetch = (...args) => ++calls > 1 ? real(...args)
			: Promise.resolve(new Response('{"error":{"code":"unavailable","message":"the state is being loaded"}}', {status: 503}))
	})()`}, nil)
	p.visit("#/delete")
	p.sees("main", "the state is being loaded")
	p.click("button", "Try again now")
	p.sees("delete-page", "Delete by pattern")

	grants, err := auth.ParseGrants([]byte(`{"read":["public/#"]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := transporttest.NewServer(t, transport.Options{Console: true, Keys: transporttest.Keys(t), Anonymous: &grants})
	set(t, s, "public/a", "1")
	p = openConsole(t, browser, s.URL(), "#/keys/public/a")
	p.sees("sign-in", "asks for a token") // of the tree, which begins with all keys
	p.click("button", "Go on without a token")
	p.Await(`document.querySelector("json-editor textarea")?.value === "1"`)
	p.Run(`location.hash = "#/keys?filter=public%2F"`, nil)
	wantRows(t, p, "public/a||1")
	p.press("4")
	p.sees("server-page .lack", "need a token with “admin”")
}
