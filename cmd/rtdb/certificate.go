package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// certificateFlags name the files of the server's certificate.
type certificateFlags struct {
	TLSCertFile string `name:"tls-cert-file" env:"TLS_CERT_FILE" placeholder:"FILE" help:"Certificate with its chain, in PEM. A changed file is loaded without a restart."`
	TLSKeyFile  string `name:"tls-key-file" env:"TLS_KEY_FILE" placeholder:"FILE" help:"Private key of the certificate, in PEM."`
}

func (f *certificateFlags) check() error {
	if (f.TLSCertFile == "") != (f.TLSKeyFile == "") {
		return fmt.Errorf("--tls-cert-file ($TLS_CERT_FILE) and --tls-key-file ($TLS_KEY_FILE) go together: set both or neither")
	}
	return nil
}

// secure returns listeners that use TLS, or the same ones if no certificate is
// configured. files then watches the certificate.
func (f *certificateFlags) secure(listeners []net.Listener, files *watcher) ([]net.Listener, error) {
	if f.TLSCertFile == "" {
		return listeners, nil
	}
	c := &certificate{}
	set := &fileSet{paths: []string{f.TLSCertFile, f.TLSKeyFile}, use: c.use, report: c.report}
	if err := set.open(); err != nil {
		return nil, fmt.Errorf("--tls-cert-file ($TLS_CERT_FILE), --tls-key-file ($TLS_KEY_FILE): %w", err)
	}
	files.add(set)
	var secure []net.Listener
	for _, l := range listeners {
		secure = append(secure, tls.NewListener(l, c.config()))
	}
	return secure, nil
}

// A certificate is the server's certificate with its private key. It may be replaced at
// any time.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// config returns the configuration of a listener: TLS 1.2 and later, HTTP/2 and
// HTTP/1.1.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// use replaces the certificate. texts are the certificate with its chain, and the private
// key, both in PEM.
func (c *certificate) use(texts [][]byte) error {
	pair, err := tls.X509KeyPair(texts[0], texts[1])
	if err != nil {
		return err
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificate) report(log zerolog.Logger, err error) {
	if err != nil {
		log.Warn().Err(err).Msg("certificate not changed")
		return
	}
	log.Info().Time("expires", c.current.Load().Leaf.NotAfter).Msg("certificate changed")
}
