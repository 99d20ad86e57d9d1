package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The admin address serves metrics and sessions without a token, and changes the log
// level.
func TestAdminAddr(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"JWT_SECRET=" + testSecret, "ADMIN_ADDR=127.0.0.1:0"})
	admin := "http://" + p.started["admin"].([]any)[0].(string)
	get := func(url string) int {
		t.Helper()
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	for url, want := range map[string]int{
		admin + "/metrics": 200, admin + "/sessions": 200, admin + "/data/k": 404,
		p.url + "/metrics": 401, p.url + "/healthz": 200,
	} {
		if got := get(url); got != want {
			t.Errorf("%s: %d, want %d", url, got, want)
		}
	}
	change := func(level string) {
		t.Helper()
		r, err := http.NewRequest("PUT", admin+"/log-level", strings.NewReader(`{"level":"`+level+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("log level %s: %d", level, answer.StatusCode)
		}
	}
	lines := func() (n int) {
		for _, e := range p.log() {
			if e["route"] == "/healthz" {
				n++
			}
		}
		return n
	}
	change("debug")
	get(p.url + "/healthz")
	p.await("log level changed", 1)
	for deadline := time.Now().Add(patience); lines() != 1; {
		if time.Now().After(deadline) {
			t.Fatal("health checks are not logged at debug")
		}
	}
	change("error")
	get(p.url + "/healthz")
	change("info")
	get(admin + "/sessions")
	p.await("log level changed", 2) // at error it says nothing
	if n := lines(); n != 1 {
		t.Errorf("%d health checks are logged, want 1", n)
	}
}

// A server that other machines reach without a key logs a warning.
func TestAnOpenServerWarns(t *testing.T) {
	t.Parallel()
	const open, openAdmin = "no key is configured: every client may do everything", "the admin address asks for no token: let only operators reach it"
	p := start(t, nil, "--host", "0.0.0.0", "--admin-addr", "0.0.0.0:0")
	p.await(open, 1)
	p.await(openAdmin, 1)
	q := start(t, []string{"JWT_SECRET=" + testSecret}, "--host", "0.0.0.0")
	r := start(t, nil)
	for _, x := range []*process{q, r} {
		x.call("GET", "/healthz", "")
		if x.logged(open) || x.logged(openAdmin) {
			t.Error("a server that is not open warns")
		}
	}
}
