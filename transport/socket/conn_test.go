package socket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	foreign "github.com/gorilla/websocket"

	"rtdb/transport/socket"
)

func TestIsLost(t *testing.T) {
	for _, err := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded,
		&net.OpError{Op: "read", Err: errors.New("connection reset by peer")},
	} {
		if !socket.IsLost(fmt.Errorf("read: %w", err)) {
			t.Errorf("%v: the connection is not lost", err)
		}
	}
	for _, err := range []error{
		nil, errors.New("x"), socket.ErrStalled, socket.ErrMessageTimeout, socket.ErrBinary, socket.ErrProtocol, socket.ErrTooBig,
		websocket.CloseError{Code: websocket.StatusNormalClosure},
	} {
		if socket.IsLost(err) {
			t.Errorf("%v: the connection is lost", err)
		}
	}
}

// An idleSession has nothing to send.
type idleSession struct{}

func (idleSession) Uncork()                     {}
func (idleSession) StopSnapshot()               {}
func (idleSession) Flush()                      {}
func (idleSession) Drain(context.Context) error { return nil }
func (idleSession) Ending() bool                { return false }

// An echo sends each message back until the connection ends. It writes with TryWrite if
// it can.
type echo struct {
	*socket.Conn
	ended chan error
}

func (echo) MaxMessage() int { return 2 << 20 }

func (e echo) Handle(text []byte) error {
	frames := e.TakeFrames()
	frames.AddText(text)
	if e.CanTry() {
		if done, err := e.TryWrite(frames); done || err != nil {
			return nil // the next read returns the error
		}
		frames = e.TakeFrames()
	}
	return e.Write(frames)
}

func (e echo) Stop(cause error, gone bool) {
	if errors.Is(cause, socket.ErrBinary) {
		e.Close(websocket.StatusUnsupportedData, "binary")
	}
}

func (e echo) End(cause error) {
	e.Release()
	e.ended <- cause
}

func TestAConnReadsWritesAndCloses(t *testing.T) {
	ended := make(chan error, 1)
	readers := &socket.Readers{MessageTimeout: time.Minute}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c socket.Conn
		if err := c.Accept(w, r, socket.Options{Subprotocols: []string{"echo"}, Readers: readers}); err != nil {
			ended <- err
			return
		}
		c.Start(idleSession{})
		c.Serve(echo{&c, ended})
	}))
	defer server.Close()
	for name, x := range map[string]struct {
		end  func(c *foreign.Conn) error
		code int // of the server's close frame
		want error
	}{
		"by a binary message": {func(c *foreign.Conn) error { return c.WriteMessage(foreign.BinaryMessage, []byte("x")) }, 1003, socket.ErrBinary},
		"by the client": {func(c *foreign.Conn) error {
			return c.WriteMessage(foreign.CloseMessage, foreign.FormatCloseMessage(1000, ""))
		}, 1000, websocket.CloseError{Code: websocket.StatusNormalClosure}},
	} {
		t.Run(name, func(t *testing.T) {
			dialer := foreign.Dialer{Subprotocols: []string{"other", "echo"}}
			c, _, err := dialer.Dial(strings.Replace(server.URL, "http", "ws", 1), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.Subprotocol(); got != "echo" {
				t.Errorf("the subprotocol is %q, want echo", got)
			}
			for _, length := range []int{0, 1, 125, 126, 70_000, 1 << 20} {
				text := strings.Repeat("x", length)
				if err := c.WriteMessage(foreign.TextMessage, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := c.ReadMessage(); err != nil || string(got) != text {
					t.Fatalf("%d bytes came back for %d: %v", len(got), length, err)
				}
			}
			if err := x.end(c); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.ReadMessage(); !foreign.IsCloseError(err, x.code) {
				t.Errorf("the client gets %v, want the close code %d", err, x.code)
			}
			if err := <-ended; !errors.Is(err, x.want) {
				t.Errorf("the server gets %v, want %v", err, x.want)
			}
		})
	}
}

// A session may end as soon as it has begun, and so close the WebSocket while Serve begins. The
// race detector finds what they share.
func TestAConnIsClosedBeforeItIsServed(t *testing.T) {
	ended := make(chan error, 1)
	readers := &socket.Readers{MessageTimeout: time.Minute}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c socket.Conn
		if err := c.Accept(w, r, socket.Options{Readers: readers}); err != nil {
			ended <- err
			return
		}
		c.Start(idleSession{})
		var closing sync.WaitGroup
		closing.Go(func() { c.Close(websocket.StatusServiceRestart, "restart") })
		<-time.After(rand.N(100 * time.Microsecond))
		c.Serve(echo{&c, ended})
		closing.Wait()
	}))
	defer server.Close()
	for range 300 {
		c, _, err := foreign.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.ReadMessage(); !foreign.IsCloseError(err, int(websocket.StatusServiceRestart)) {
			t.Errorf("the client gets %v, want the close code %d", err, websocket.StatusServiceRestart)
		}
		if err := <-ended; !socket.IsLost(err) && websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("the server gets %v, want the end of the connection", err)
		}
		_ = c.Close()
	}
}
