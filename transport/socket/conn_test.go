package socket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
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
func (idleSession) Flush()                      {}
func (idleSession) Drain(context.Context) error { return nil }
func (idleSession) Ending() bool                { return false }

// echo sends each message back until the connection ends, and returns why it ended. It
// writes with TryWrite if it can.
func echo(c *socket.Conn) error {
	for {
		message, err := c.Next()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(message)
		if err := c.Finish(err); err != nil {
			return err
		}
		frames := c.TakeFrames()
		frames.AddText(text)
		if c.CanTry() {
			if done, err := c.TryWrite(frames); done || err != nil {
				continue // the next read returns the error
			}
			frames = c.TakeFrames()
		}
		if err := c.Write(frames); err != nil {
			return err
		}
	}
}

func TestAConnReadsWritesAndCloses(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c socket.Conn
		err := c.Accept(w, r, socket.Options{Subprotocols: []string{"echo"}, MessageTimeout: time.Minute})
		if err == nil {
			c.Start(idleSession{})
			err = echo(&c)
			if errors.Is(err, socket.ErrBinary) {
				c.Close(websocket.StatusUnsupportedData, "binary")
			}
			c.Release()
		}
		ended <- err
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
