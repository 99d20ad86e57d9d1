package transport_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport"
)

// pipes is a listener in memory, for tests in a synctest bubble. A pipe has no buffer: a
// writer blocks until the other side reads.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// A piped is a server in a synctest bubble.
type piped struct {
	*transport.Server
	keyspace *keyspace.Keyspace
	store    *gatedStore
	listener *pipes
	log      *logBuffer
}

// inBubble runs a test with a server in a synctest bubble.
func inBubble(t *testing.T, test func(t *testing.T, p *piped)) {
	t.Helper()
	inBubbleWith(t, transport.Options{}, test)
}

func inBubbleWith(t *testing.T, o transport.Options, test func(t *testing.T, p *piped)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &piped{
			listener: &pipes{accept: make(chan net.Conn), closed: make(chan struct{})},
			store:    &gatedStore{Store: keyspace.NewMemory(1)},
			log:      newLogBuffer(),
		}
		var err error
		p.keyspace, err = keyspace.Open(keyspace.Options{Store: p.store})
		if err != nil {
			t.Fatal(err)
		}
		o.Logger = zerolog.New(p.log)
		p.Server = transport.NewServer(p.keyspace, o)
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := p.Serve(p.listener); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
		test(t, p)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		serving.Wait()
		if err := p.keyspace.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}

func (p *piped) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		p.listener.accept <- theirs
		return ours, nil
	}}
	c, _, err := d.Dial("ws://localhost/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// closing reads until the connection ends. It returns the close code, 0 if there was no
// close frame, and how long that took.
func closing(c *websocket.Conn) (code int, after time.Duration) {
	start := time.Now()
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				code = closed.Code
			}
			return code, time.Since(start)
		}
	}
}
