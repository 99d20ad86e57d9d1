package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A read by the descriptor ends with the same kinds of errors as a read of the connection.
func TestTheErrorsOfAReadAreThoseOfTheConnection(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for what, end := range map[string]func(server, client net.Conn){
			"deadline passed":       func(s, _ net.Conn) { _ = s.SetReadDeadline(time.Unix(1, 0)) },
			"deadline during":       func(s, _ net.Conn) { _ = s.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) },
			"closed":                func(s, _ net.Conn) { _ = s.Close() },
			"closed during":         func(s, _ net.Conn) { time.AfterFunc(20*time.Millisecond, func() { _ = s.Close() }) },
			"closed by the client":  func(_, c net.Conn) { _ = c.Close() },
			"reset by the client":   func(_, c net.Conn) { reset(c) },
			"reset found by a look": func(_, c net.Conn) { reset(c) },
			"close found by a look": func(_, c net.Conn) { _ = c.Close() },
		} {
			plain := readEnd(t, network, end, func(s net.Conn, _ *descriptor, p []byte) error { _, err := s.Read(p); return err })
			own := readEnd(t, network, end, func(_ net.Conn, d *descriptor, p []byte) error {
				for strings.HasSuffix(what, "found by a look") && d.end() == nil {
					d.tryRead(p)
				}
				_, err := d.read(p)
				return err
			})
			for _, kind := range []error{io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET} {
				if errors.Is(own, kind) != errors.Is(plain, kind) {
					t.Errorf("%s, %s: %v, want %v", network, what, own, plain)
				}
			}
			if IsLost(own) != IsLost(plain) || hasLeft(own) != hasLeft(plain) {
				t.Errorf("%s, %s: %#v, want %#v", network, what, own, plain)
			}
			if op := (*net.OpError)(nil); errors.As(own, &op) && op.Op != "read" {
				t.Errorf("%s, %s: %v, which is not of a read", network, what, own)
			}
		}
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// readEnd reads from a connection that ends, and returns the error.
func readEnd(t *testing.T, network string, end func(server, client net.Conn), read func(server net.Conn, d *descriptor, p []byte) error) error {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var d descriptor
	d.open(s)
	end(s, c)
	return read(s, &d, make([]byte, 10))
}
