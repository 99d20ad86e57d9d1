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
)

// The server accepts the tokens that rtdb token makes, with either kind of key. No other
// output contains a secret or a token.
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

// makeKey writes a new private key to file.
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
