package transport

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// A Certificate is a server's, read anew when its files change: whoever renews it
// need not restart the server.
type Certificate struct {
	certFile, keyFile string
	log               zerolog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]stamp // of the files, when they were read, or could not be
	looked  time.Time
}

// A stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

// LoadCertificate reads a certificate with its chain, and its private key, both in
// PEM. log is told when they are read again.
func LoadCertificate(certFile, keyFile string, log zerolog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	stamps, err := c.stamps()
	if err != nil {
		return nil, err
	}
	if err := c.loadLocked(stamps); err != nil {
		return nil, err
	}
	c.looked = time.Now()
	return c, nil
}

// Config is that of a listener: TLS 1.2 and up, HTTP/2 and HTTP/1.1.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
	}
}

// get returns the newest certificate that could be read.
func (c *Certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.current
	}
	c.looked = time.Now()
	stamps, err := c.stamps()
	if err == nil && stamps == c.read {
		return c.current
	}
	if err == nil {
		err = c.loadLocked(stamps)
	}
	if err != nil {
		c.log.Warn().Err(err).Msg("certificate not changed")
		return c.current
	}
	c.log.Info().Time("expires", c.current.Leaf.NotAfter).Msg("certificate changed")
	return c.current
}

func (c *Certificate) loadLocked(stamps [2]stamp) error {
	c.read = stamps // also where it fails: once is enough to say so
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current = &pair
	return nil
}

func (c *Certificate) stamps() (s [2]stamp, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s, nil
}
