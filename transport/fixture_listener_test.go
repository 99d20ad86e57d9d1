package transport_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
)

// A trackedListener remembers the connections that it has accepted.
type trackedListener struct {
	net.Listener
	mu       sync.Mutex
	accepted []*net.TCPConn
}

func (l *trackedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.accepted = append(l.accepted, c.(*net.TCPConn))
	}
	return c, err
}

// open returns the number of accepted connections that the server has not closed.
func (l *trackedListener) open() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.accepted {
		raw := must(c.SyscallConn())
		if raw.Control(func(uintptr) {}) == nil {
			n++
		}
	}
	return n
}

// listen serves another listener until the test ends, with TLS if secure is true.
func (w *wire) listen(t *testing.T, serve func(net.Listener) error, secure bool) *trackedListener {
	t.Helper()
	tracked := &trackedListener{Listener: must(net.Listen("tcp", "127.0.0.1:0"))}
	var l net.Listener = tracked
	if secure {
		l = tls.NewListener(l, serverTLS())
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := serve(l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := w.Shutdown(context.Background()); err != nil { // it ends this listener, too
			t.Errorf("Shutdown: %v", err)
		}
		serving.Wait()
	})
	return tracked
}

// serverTLS returns the settings of a server with a certificate for tests.
var serverTLS = sync.OnceValue(func() *tls.Config {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
})

// clientTLS are the settings of a client that takes any certificate.
var clientTLS = &tls.Config{InsecureSkipVerify: true}
