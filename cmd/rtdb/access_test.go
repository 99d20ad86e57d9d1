package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rtdb/transport/transporttest"

)

const testSecret = transporttest.Secret

// A token that the program makes is one that it takes, by either kind of key; and
// nothing of a secret or a token is in what it prints otherwise.
func TestTokens(t *testing.T) {
	dir := t.TempDir()
	private, public := filepath.Join(dir, "private.pem"), filepath.Join(dir, "public.pem")
	key := makeKey(t, private)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, public, "PUBLIC KEY", der)
	for name, c := range map[string]struct{ sign, check []string }{
		"secret":     {[]string{"JWT_SECRET=" + testSecret}, []string{"JWT_SECRET=" + testSecret}},
		"public key": {[]string{"JWT_PRIVATE_KEY_FILE=" + private}, []string{"JWT_PUBLIC_KEY_FILE=" + public}},
	} {
		out, stderr, status := runToEnd(t, c.sign, "token", "--read", "devices/#", "--read", "a,b", "--write", "x", "--ttl", "90s", "--subject", "me")
		token := strings.TrimSpace(out)
		if status != exitOK || strings.Count(token, ".") != 2 || stderr != "" {
			t.Fatalf("%s: exit %d, %q %q", name, status, out, stderr)
		}
		out, stderr, status = runToEnd(t, c.check, "token", "inspect", token)
		var said struct {
			Header map[string]string
			Claims struct {
				Sub      string
				Iat, Exp int64
				RTDB     struct{ Read, Write []string }
			}
		}
		if err := json.Unmarshal([]byte(out), &said); err != nil || status != exitOK || said.Claims.Sub != "me" ||
			said.Claims.Exp-said.Claims.Iat != 90 || fmt.Sprint(said.Claims.RTDB) != "{[devices/# a,b] [x]}" {
			t.Errorf("%s: exit %d, %s %s", name, status, out, stderr)
		}
		p := start(t, c.check)
		for path, want := range map[string]int{"/data/devices/1": 404, "/data/other": 403} {
			r, err := http.NewRequest("GET", p.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s: %s is answered %d, want %d", name, path, answer.StatusCode, want)
			}
		}
		for _, args := range [][]string{{"token", token}, {"token", "inspect", token + "x"}, {"token", "inspect", "x"}} {
			out, stderr, status := runToEnd(t, c.check, args...)
			if status == exitOK || strings.Contains(stderr, token) || strings.Contains(out+stderr, testSecret) {
				t.Errorf("%q: exit %d, %s", args, status, stderr)
			}
		}
	}
	for _, args := range [][]string{{"token"}, {"token", "--jwt-secret", testSecret, "--read", "a#"}, {"token", "--jwt-secret", testSecret, "--ttl", "0s"}} {
		if _, stderr, status := runToEnd(t, nil, args...); status != exitFailure || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, %q", args, status, stderr)
		}
	}
}

func makeKey(t *testing.T, file string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, file, "PRIVATE KEY", der)
	return key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logged reports whether an event was.
func (p *process) logged(message string) bool {
	for _, e := range p.log() {
		if e["message"] == message {
			return true
		}
	}
	return false
}

// The operator has an address of its own, and changes the level of the log there.
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

// Whoever listens for others without a key is told.
func TestAnOpenServerWarns(t *testing.T) {
	t.Parallel()
	const open, openAdmin = "open to everybody: no key for tokens is configured", "the admin address asks for no token: nobody else must reach it"
	p := start(t, nil, "--host", "0.0.0.0", "--admin-addr", "0.0.0.0:0")
	p.await(open, 1)
	p.await(openAdmin, 1)
	q := start(t, []string{"JWT_SECRET=" + testSecret}, "--host", "0.0.0.0")
	r := start(t, nil)
	for _, x := range []*process{q, r} {
		x.call("GET", "/healthz", "")
		if x.logged(open) || x.logged(openAdmin) {
			t.Error("one that is not open warns")
		}
	}
}
