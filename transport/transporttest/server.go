package transporttest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A Server is a real server on a port of this machine, in the test's process.
type Server struct {
	*transport.Server
	Keyspace *keyspace.Keyspace
	Addr     string // host:port

	t       testing.TB
	serving sync.WaitGroup
	stop    sync.Once
}

// NewServer starts a server in memory. It ends with the test.
func NewServer(t testing.TB, o transport.Options) *Server {
	t.Helper()
	return NewServerOn(t, keyspace.Options{}, o)
}

// NewServerOn starts a server of a keyspace with these options, and thus with any Store. It
// ends with the test.
func NewServerOn(t testing.TB, k keyspace.Options, o transport.Options) *Server {
	t.Helper()
	ks, err := keyspace.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Server: transport.NewServer(ks, o), Keyspace: ks, Addr: l.Addr().String(), t: t}
	s.serving.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(s.Stop)
	return s
}

// URL returns the server's address as a URL of HTTP.
func (s *Server) URL() string { return "http://" + s.Addr }

// Stop ends the server and its keyspace, and closes the store. It may be called more than
// once. For a restart, start another server, and lead clients there by [Proxy.Retarget].
func (s *Server) Stop() {
	s.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			s.t.Errorf("Shutdown: %v", err)
		}
		s.serving.Wait()
		if err := s.Keyspace.Shutdown(ctx); err != nil {
			s.t.Errorf("keyspace: %v", err)
		}
	})
}
