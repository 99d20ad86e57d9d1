package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

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
// configured.
func (f *certificateFlags) secure(listeners []net.Listener, log zerolog.Logger) ([]net.Listener, error) {
	if f.TLSCertFile == "" {
		return listeners, nil
	}
	certificate, err := loadCertificate(f.TLSCertFile, f.TLSKeyFile, log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert-file ($TLS_CERT_FILE): %w", err)
	}
	var secure []net.Listener
	for _, l := range listeners {
		secure = append(secure, tls.NewListener(l, certificate.config()))
	}
	return secure, nil
}

// A certificate is the server's certificate and private key. It reads its files
// again when they change, so that a renewed certificate needs no restart.
type certificate struct {
	certFile, keyFile string
	log               zerolog.Logger

	mu        sync.Mutex
	current   *tls.Certificate
	read      [2]fileState // of both files at the last attempt to read them
	checkedAt time.Time
}

// A fileState shows whether a file has changed, without reading it.
type fileState struct {
	modified time.Time
	size     int64
}

// checkInterval is the shortest time between two looks at the files.
const checkInterval = time.Second

// loadCertificate reads a certificate with its chain, and its private key, both in
// PEM. Each later change of the files is logged.
func loadCertificate(certFile, keyFile string, log zerolog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	states, err := c.fileStates()
	if err != nil {
		return nil, err
	}
	if err := c.loadLocked(states); err != nil {
		return nil, err
	}
	c.checkedAt = time.Now()
	return c, nil
}

// config returns the configuration of a listener: TLS 1.2 and later, HTTP/2 and
// HTTP/1.1.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.newest(), nil },
	}
}

// newest returns the newest certificate that could be read. If the files have
// changed and cannot be read, it logs that and returns the old certificate.
func (c *certificate) newest() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checkedAt) < checkInterval {
		return c.current
	}
	c.checkedAt = time.Now()
	states, err := c.fileStates()
	if err == nil && states == c.read {
		return c.current
	}
	if err == nil {
		err = c.loadLocked(states)
	}
	if err != nil {
		c.log.Warn().Err(err).Msg("certificate not changed")
		return c.current
	}
	c.log.Info().Time("expires", c.current.Leaf.NotAfter).Msg("certificate changed")
	return c.current
}

func (c *certificate) loadLocked(states [2]fileState) error {
	c.read = states // even if it fails: one log line for each change is enough
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current = &pair
	return nil
}

func (c *certificate) fileStates() (states [2]fileState, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return states, err
		}
		states[i] = fileState{info.ModTime(), info.Size()}
	}
	return states, nil
}
