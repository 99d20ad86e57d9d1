package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rtdb/transport/transporttest"

	"github.com/gorilla/websocket"
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

// makeCertificate writes one for localhost, with its key.
func makeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key := makeKey(t, keyFile)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

// Over TLS all is as without; old versions are refused, and a certificate that was
// renewed is picked up.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := makeCertificate(t, certFile, keyFile, 1)
	p := start(t, nil, "--tls-cert-file", certFile, "--tls-key-file", keyFile)
	addr := strings.TrimPrefix(p.url, "http://")

	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: pool}}
	c, _, err := d.Dial("wss://"+addr+"/ws", http.Header{"Origin": {"https://" + addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, message := range []string{`{"id":1,"action":"subscribe","key":"k"}`, `{"action":"set","key":"k","value":1}`} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{`{"id":1,"ok":true,"revision":`, `{"key":"k","value":1}`} {
		if _, text, err := c.ReadMessage(); err != nil || !strings.HasPrefix(string(text), want) {
			t.Fatalf("got %s, %v; want %s", text, err, want)
		}
	}
	if _, _, err := d.Dial("wss://"+addr+"/ws", http.Header{"Origin": {"http://" + addr}}); err == nil {
		t.Error("a page without TLS is of the same origin")
	}
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: h2}}
		answer, err := client.Get("https://" + addr + "/data/k")
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK || answer.Proto != proto {
			t.Errorf("%s: %d by %s", proto, answer.StatusCode, answer.Proto)
		}
		events, err := client.Get("https://" + addr + "/events?key=k&snapshot=true")
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		if _, err := events.Body.Read(first); err != nil || events.Proto != proto {
			t.Errorf("%s: a stream: %q, %v", proto, first, err)
		}
		_ = events.Body.Close()
		client.CloseIdleConnections()
	}
	if old, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		_ = old.Close()
		t.Error("TLS 1.1 is spoken")
	}
	_, port, _ := net.SplitHostPort(addr)
	if _, stderr, status := runToEnd(t, []string{"PORT=" + port, "TLS_CERT_FILE=" + certFile, "TLS_KEY_FILE=" + keyFile}, "health"); status != exitOK {
		t.Errorf("health: exit %d, %s", status, stderr)
	}

	if err := os.WriteFile(certFile, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	until := func(event string) {
		t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			n := serial()
			if p.logged(event) {
				return
			}
			if n != 1 {
				t.Fatalf("certificate %d before it was logged", n)
			}
		}
		t.Fatalf("no %q", event)
	}
	until("certificate not changed")
	if n := serial(); n != 1 {
		t.Errorf("certificate %d, want the old one", n)
	}
	makeCertificate(t, certFile, keyFile, 2)
	for deadline := time.Now().Add(patience); serial() != 2; {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not picked up")
		}
	}
	p.await("certificate changed", 1)
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
