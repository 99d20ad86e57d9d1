package socket_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	foreign "github.com/gorilla/websocket"

	"rtdb/transport/socket"
)

// lookInterval is the time after which a connection is parked, at least.
const lookInterval = 100 * time.Millisecond

// awaitParked waits until nothing has come on the connection for a while.
func awaitParked(t *testing.T, h *busyHandler) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(time.Minute)
	for !h.conn.Parked() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatal("the connection is not parked")
		}
	}
}

// A client that sends seldom, and then what the server refuses, gets its time to answer the close frame.
func TestTheCloseOfAClientThatSendsSeldomIsAwaited(t *testing.T) {
	t.Parallel()
	h, url, accepted := startBusy(t)
	h.awaits = true
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func(text string) {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	<-accepted
	awaitParked(t, h)
	<-time.After(2 * lookInterval)
	sent := time.Now()
	send("\x81\x84\x00\x00\x00\x00fail")
	<-h.endedCh
	if took := time.Since(sent); took < socket.CloseTimeout/2 {
		t.Errorf("the connection was cut after %v, want %v", took, socket.CloseTimeout)
	}
}

// A connection that is parked reads on when something comes, and is parked again. The parts
// of a frame may come apart.
func TestAParkedConnectionReadsOn(t *testing.T) {
	h, c := serveBusy(t)
	awaitParked(t, h)
	c.send("1", "2")
	awaitParked(t, h)
	c.ping()
	awaitParked(t, h)
	if !h.conn.Ping() {
		t.Error("no ping is sent")
	}
	for end := time.Now().Add(time.Minute); !h.conn.Ponged(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the client does not answer a ping")
		}
	}
	awaitParked(t, h)
	frame := []byte{0x81, 0x81, 0, 0, 0, 0, '3'}
	for i := range frame {
		if _, err := c.NetConn().Write(frame[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			<-time.After(3 * lookInterval)
			if h.conn.Parked() {
				t.Error("it is parked in the middle of a frame")
			}
		}
	}
	awaitParked(t, h)
	c.send("wait 4")
	<-h.begun
	c.ping()
	c.send("5")
	h.gate <- struct{}{}
	awaitParked(t, h)
	if err := c.WriteMessage(foreign.CloseMessage, foreign.FormatCloseMessage(1000, "")); err != nil {
		t.Fatal(err)
	}
	if cause := <-h.endedCh; websocket.CloseStatus(cause) != 1000 {
		t.Errorf("it ended with %v, want the client's 1000", cause)
	}
	h.want(t, "1", "2", "3", "wait 4", "5")
	if h.conn.Polls() {
		t.Error("the poller still waits, without a connection")
	}
}

// A connection that is parked ends as others do.
func TestAParkedConnectionEnds(t *testing.T) {
	for name, x := range map[string]struct {
		end func(h *busyHandler, c client)
		is  func(cause error) bool
	}{
		"the client closes the connection": {func(h *busyHandler, c client) { _ = c.Close() }, isLost},
		"the client resets the connection": {func(h *busyHandler, c client) {
			_ = c.NetConn().(interface{ SetLinger(int) error }).SetLinger(0)
			_ = c.Close()
		}, isLost},
		"the client closes the WebSocket": {func(h *busyHandler, c client) {
			_ = c.WriteMessage(foreign.CloseMessage, foreign.FormatCloseMessage(1001, ""))
		}, isClosed},
		"the server closes the WebSocket": {func(h *busyHandler, c client) {
			h.conn.Close(websocket.StatusNormalClosure, "") // the client's answer ends it
		}, func(cause error) bool { return isClosed(cause) || isLost(cause) }},
		"the server cuts the connection": {func(h *busyHandler, c client) { h.conn.Cut() }, isLost},
		"the connection is released":     {func(h *busyHandler, c client) { h.conn.Release() }, isLost},
		"the client sends nothing more": {func(h *busyHandler, c client) {
			_ = c.NetConn().(interface{ CloseWrite() error }).CloseWrite()
		}, isLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, c := serveBusy(t)
			c.send("1")
			awaitParked(t, h)
			x.end(h, c)
			select {
			case cause := <-h.endedCh:
				if !x.is(cause) {
					t.Errorf("it ended with %v", cause)
				}
			case <-time.After(time.Minute):
				t.Fatal("it has not ended")
			}
			h.want(t, "1")
		})
	}
}

func isLost(cause error) bool { return socket.IsLost(cause) }

func isClosed(cause error) bool {
	var closed websocket.CloseError
	return errors.As(cause, &closed)
}

// Of many connections that are parked each gets its own messages, and each ends, while they
// are closed from both sides and their descriptors are used again.
func TestParkedConnectionsAreNotMixedUp(t *testing.T) {
	var mu sync.Mutex
	conns := make(map[string]*socket.Conn)
	ended := make(chan error, 1)
	readers := &socket.Readers{MessageTimeout: time.Minute}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := new(socket.Conn)
		if err := c.Accept(w, r, socket.Options{Readers: readers}); err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		conns[r.URL.Path] = c
		mu.Unlock()
		c.Start(idleSession{})
		c.Serve(echo{c, ended})
	}))
	defer server.Close()
	var working sync.WaitGroup
	for worker := range 8 {
		working.Go(func() {
			for round := range 5 {
				path := fmt.Sprintf("/%d/%d", worker, round)
				c, _, err := foreign.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1)+path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 2 {
					<-time.After(lookInterval + time.Duration(worker+i)*lookInterval/8)
					if err := c.WriteMessage(foreign.TextMessage, []byte(path)); err != nil {
						t.Error(err)
					}
					if _, text, err := c.ReadMessage(); err != nil || string(text) != path {
						t.Errorf("%s got %q, %v", path, text, err)
					}
				}
				<-time.After(time.Duration(round) * lookInterval / 2)
				if worker%2 == 0 {
					mu.Lock()
					conns[path].Cut()
					mu.Unlock()
				} else {
					_ = c.Close()
				}
				<-ended
				_ = c.Close()
			}
		})
	}
	working.Wait()
}
