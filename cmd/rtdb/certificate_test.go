package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// makeCertificate writes a certificate for localhost and its key.
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

// Over TLS every protocol works; old versions of TLS are refused, and a renewed
// certificate is loaded without a restart.
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
	if _, _, err := d.Dial("wss://"+addr+"/ws", http.Header{"Origin": {"http://db.example"}}); err == nil {
		t.Error("a page of another origin may call")
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
