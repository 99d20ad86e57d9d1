package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkFanoutTLS is BenchmarkFanoutOneKey under TLS, with one write in flight. The program
// rtdb serves TLS itself, and is compared with nginx that does so in front of it. The CPU time
// of nginx and of the server behind it are added.
func BenchmarkFanoutTLS(b *testing.B) {
	program := buildRTDB(b)
	c := newCertificate(b)
	sides := []*side{{name: "rtdb", server: startRTDB(b, program, "--tls-cert-file", c.cert, "--tls-key-file", c.key)}}
	plain := startRTDB(b, program)
	if nginx := startNginx(b, plain.address, c); nginx != nil {
		sides = append(sides, &side{name: "nginx", server: nginx, behind: []*child{plain}})
	}
	for _, x := range sides {
		x.say = webSocketSpeaker{}
		x.address = startChildIn(b, "tunnel", x.server.address).address
		b.Cleanup(func() { x.disconnect(b) }) // before the tunnel ends
	}
	compareSides(b, shape{keys: 1, subscribers: 1000, publishers: 1, window: 1}, sides...)
}

// startNginx starts nginx with TLS in front of a server. It returns nil if nginx is not
// installed.
func startNginx(b *testing.B, behind string, c certificate) *child {
	b.Helper()
	path, err := exec.LookPath("nginx")
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, moduleErr := os.Stat(module); err != nil || moduleErr != nil {
		b.Logf("there is no nginx to compare with, or it has no streams: install nginx-light and libnginx-mod-stream: %v", errors.Join(err, moduleErr))
		return nil
	}
	address, _ := freeAddress(b)
	config := fmt.Sprintf(`load_module %s;
daemon off; master_process off; worker_processes 1; pid nginx.pid;
events { worker_connections 4096; }
stream {
  server {
    listen %s ssl;
    ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3;
    proxy_pass %s;
  }
}
`, module, address, c.cert, c.key, behind)
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return startProgram(b, address, path, "-p", dir, "-c", "nginx.conf", "-e", "stderr")
}

// serveTunnel passes each connection on to a server that serves TLS. So the load, which reads
// no TLS, is the same for all servers.
func serveTunnel(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			server, err := tls.Dial("tcp", os.Getenv(directoryVariable), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				fmt.Fprintf(os.Stderr, "the tunnel: %v\n", err)
				return
			}
			go func() {
				defer server.Close()
				_, _ = io.Copy(server, c)
			}()
			_, _ = io.Copy(c, server)
		}()
	}
}

// A certificate has the paths of PEM files: a certificate for 127.0.0.1 and its key.
type certificate struct{ cert, key string }

func newCertificate(b *testing.B) certificate {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		b.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	c := certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	err = errors.Join(
		os.WriteFile(c.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o600),
		os.WriteFile(c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		b.Fatal(err)
	}
	return c
}
