package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// An issuer is a private key in a file, with its public key in PEM and as a JWK.
type issuer struct {
	file string
	pem  string
	jwk  map[string]string
}

func newIssuer(t *testing.T, dir, id string) issuer {
	t.Helper()
	i := issuer{file: filepath.Join(dir, id+".pem")}
	key := makeKey(t, i.file)
	der, err := x509.MarshalPKIXPublicKey(crypto.Signer(key).Public())
	if err != nil {
		t.Fatal(err)
	}
	i.pem = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	i.jwk = jwkOf(t, &key.PublicKey, id)
	return i
}

func jwkOf(t *testing.T, key *ecdsa.PublicKey, id string) map[string]string {
	t.Helper()
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:]), "kid": id, "use": "sig"}
}

// token returns a token that rtdb token makes with the issuer's key.
func (i issuer) token(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"token", "--jwt-private-key-file", i.file, "--read", "#", "--write", "#"}, args...)
	out, stderr, status := runToEnd(t, nil, args...)
	if status != exitOK {
		t.Fatalf("%q: exit %d, %s", args, status, stderr)
	}
	return strings.TrimSpace(out)
}

func keySet(t *testing.T, issuers ...issuer) string {
	t.Helper()
	set := struct {
		Keys []any `json:"keys"`
	}{Keys: []any{map[string]string{"kty": "oct", "k": "AAAA"}}}
	for _, i := range issuers {
		set.Keys = append(set.Keys, i.jwk)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// get makes a request with a token and returns the status.
func (p *process) get(token string) int {
	p.t.Helper()
	r, err := http.NewRequest("GET", p.url+"/data", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// A key can be replaced while the server runs, without a moment in which a valid token is
// refused, and without the end of a session.
func TestAKeyIsRotatedWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := newIssuer(t, dir, "1"), newIssuer(t, dir, "2")
	oldToken, newToken := first.token(t), second.token(t)
	for name, c := range map[string]struct {
		flag   string
		render func(...issuer) string
	}{
		"PEM": {"--jwt-public-key-file", func(all ...issuer) (text string) {
			for _, i := range all {
				text += i.pem
			}
			return text
		}},
		"JWK Set": {"--jwks-file", func(all ...issuer) string { return keySet(t, all...) }},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			write(t, path, c.render(first))
			p := start(t, nil, c.flag, path)
			if e := p.await("keys loaded", 1)[0]; e["keys"] != 1.0 || e["file"] != path || fmt.Sprint(e["algorithms"]) != "[ES256]" {
				t.Errorf("logged %v", e)
			}
			if got := p.get(oldToken); got != 200 {
				t.Fatalf("the first key: %d", got)
			}
			if got := p.get(newToken); got != 401 {
				t.Fatalf("a key that is not in the file: %d", got)
			}
			session, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws", http.Header{"Authorization": {"Bearer " + oldToken}})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()

			replace(t, path, c.render(first, second))
			p.await("keys loaded", 2)
			for _, token := range []string{oldToken, newToken} {
				if got := p.get(token); got != 200 {
					t.Errorf("two keys: %d", got)
				}
			}
			// A file that does not parse, and then one that is missing, leave both in force.
			for n, change := range []func(){
				func() { replace(t, path, "-----BEGIN PUBLIC KEY-----\n") },
				func() {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				},
			} {
				change()
				if e := p.await("keys not loaded", n+1)[n]; e["keys"] != 2.0 || e["file"] != path || e["error"] == nil {
					t.Errorf("logged %v", e)
				}
				for _, token := range []string{oldToken, newToken} {
					if got := p.get(token); got != 200 {
						t.Errorf("a bad file: %d", got)
					}
				}
			}
			replace(t, path, c.render(second))
			p.await("keys loaded", 3)
			for token, want := range map[string]int{oldToken: 401, newToken: 200} {
				if got := p.get(token); got != want {
					t.Errorf("the new key alone: %d, want %d", got, want)
				}
			}
			if err := session.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"action":"ping"}`)); err != nil {
				t.Fatal(err)
			}
			if _, text, err := session.ReadMessage(); err != nil || string(text) != `{"id":1,"ok":true,"action":"pong"}` {
				t.Errorf("the open session: %s, %v", text, err)
			}
			p.stop()
			for message, want := range map[string]int{"keys loaded": 3, "keys not loaded": 2} {
				if n := len(p.await(message, want)); n != want {
					t.Errorf("%d lines %q, want %d", n, message, want)
				}
			}
		})
	}
}

// Every secret of a file checks tokens, and the first one signs them.
func TestSecretsInAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const other = "another secret of the deployment's secret store"
	path := filepath.Join(dir, "secret")
	write(t, path, testSecret+"\n")
	tokenBy := func(env ...string) string {
		t.Helper()
		out, stderr, status := runToEnd(t, env, "token", "--read", "#")
		if status != exitOK {
			t.Fatalf("exit %d, %s", status, stderr)
		}
		return strings.TrimSpace(out)
	}
	oldToken := tokenBy("JWT_SECRET=" + testSecret)
	p := start(t, []string{"JWT_SECRET_FILE=" + path})
	if got := p.get(oldToken); got != 200 {
		t.Fatalf("the secret of the file: %d", got)
	}
	replace(t, path, other+"\n\n"+testSecret+"\n")
	newToken := tokenBy("JWT_SECRET_FILE=" + path)
	p.await("keys loaded", 2)
	for _, token := range []string{oldToken, newToken} {
		if got := p.get(token); got != 200 {
			t.Errorf("two secrets: %d", got)
		}
	}
	for _, token := range []string{oldToken, newToken} {
		if _, stderr, status := runToEnd(t, []string{"JWT_SECRET_FILE=" + path}, "token", "inspect", token); status != exitOK {
			t.Errorf("inspect: exit %d, %s", status, stderr)
		}
	}
	replace(t, path, other)
	p.await("keys loaded", 3)
	if got := p.get(oldToken); got != 401 {
		t.Errorf("a secret that was removed: %d", got)
	}
	replace(t, path, other+"\nshort\n")
	if e := p.await("keys not loaded", 1)[0]; !strings.Contains(e["error"].(string), "line 2: the secret has 5 bytes") {
		t.Errorf("logged %v", e)
	}
}

// A server whose identity provider does not answer starts, asks clients to try again, and
// takes the provider's keys when it answers. A key that the provider adds counts at once.
func TestAnIdentityProvider(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := newIssuer(t, dir, "1"), newIssuer(t, dir, "2")
	var set atomic.Pointer[string]
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := set.Load(); text != nil {
			_, _ = w.Write([]byte(*text))
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer provider.Close()
	serve := func(issuers ...issuer) {
		text := keySet(t, issuers...)
		set.Store(&text)
	}
	url := provider.URL + "/jwks?api_key=hidden"
	p := start(t, []string{"JWKS_URL=" + url, "JWT_ISSUER=https://id.example/"}, "--jwt-audience", "rtdb")
	e := p.await("keys not loaded", 1)[0]
	if e["url"] != provider.URL+"/jwks" || e["keys"] != 0.0 || !strings.Contains(e["error"].(string), "502") {
		t.Errorf("logged %v", e)
	}
	rules := []string{"--audience", "rtdb", "--issuer", "https://id.example/", "--key-id"}
	oldToken, newToken := first.token(t, append(rules, "1")...), second.token(t, append(rules, "2")...)
	if got := p.get(oldToken); got != 503 {
		t.Errorf("without keys: %d, want 503", got)
	}
	if status, _ := p.call("GET", "/healthz", ""); status != 200 {
		t.Errorf("/healthz: %d", status)
	}
	if _, stderr, status := runToEnd(t, nil, "token", "inspect", "--jwks-url", url, oldToken); status != exitFailure || !strings.Contains(stderr, "502") || strings.Contains(stderr, "hidden") {
		t.Errorf("inspect: exit %d, %s", status, stderr)
	}
	serve(first)
	p.await("keys loaded", 1)
	if got := p.get(oldToken); got != 200 {
		t.Errorf("with keys: %d", got)
	}
	if e := p.await("keys loaded", 1)[0]; fmt.Sprint(e["key_ids"], e["keys"], len(e["ignored"].([]any))) != "[1] 1 1" {
		t.Errorf("logged %v", e)
	}
	serve(first, second)
	p.get(newToken) // so short after the last fetch it does not wait for the next one
	p.await("keys loaded", 2)
	if got := p.get(newToken); got != 200 {
		t.Errorf("a new key: %d", got)
	}
	for name, args := range map[string][]string{
		"no audience": {"--issuer", "https://id.example/"}, "no issuer": {"--audience", "rtdb"}, "another": {"--audience", "x", "--issuer", "https://id.example/"},
	} {
		token := first.token(t, append(args, "--key-id", "1")...)
		if got := p.get(token); got != 401 {
			t.Errorf("%s: %d, want 401", name, got)
		}
		_, stderr, status := runToEnd(t, []string{"JWKS_URL=" + url}, "token", "inspect", "--jwt-audience", "rtdb", "--jwt-issuer", "https://id.example/", token)
		if status != exitFailure || !strings.Contains(stderr, `"aud"`) && !strings.Contains(stderr, `"iss"`) {
			t.Errorf("inspect with %s: exit %d, %s", name, status, stderr)
		}
	}
	if _, stderr, status := runToEnd(t, nil, "token", "inspect", "--jwks-url", url, "--jwt-audience", "rtdb", newToken); status != exitOK {
		t.Errorf("inspect: exit %d, %s", status, stderr)
	}
	provider.Close()
	if got := p.get(newToken); got != 200 {
		t.Errorf("after the provider has gone: %d", got)
	}
	p.stop()
}

// A page's cookie may carry the token, and the log names the token's subject.
func TestTheTokenCookie(t *testing.T) {
	t.Parallel()
	env := []string{"JWT_SECRET=" + testSecret, "TOKEN_COOKIE=__Host-rtdb"}
	out, stderr, status := runToEnd(t, env[:1], "token", "--read", "#", "--write", "#", "--subject", "device-7")
	if status != exitOK {
		t.Fatalf("exit %d, %s", status, stderr)
	}
	p := start(t, env)
	for method, want := range map[string]int{"GET": 200, "PUT": 401} {
		r, err := http.NewRequest(method, p.url+"/data", nil)
		if method == "PUT" {
			r, err = http.NewRequest(method, p.url+"/data/k", strings.NewReader(`{"value":1}`))
		}
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: "__Host-rtdb", Value: strings.TrimSpace(out)})
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", method, answer.StatusCode, want)
		}
	}
	p.stop()
	subjects := 0
	for _, e := range p.log() {
		if e["subject"] == "device-7" && e["method"] == "GET" {
			subjects++
		}
	}
	if subjects != 1 {
		t.Errorf("%d requests with the subject in the log, want 1", subjects)
	}
}
