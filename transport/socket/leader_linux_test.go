package socket_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	foreign "github.com/gorilla/websocket"

	"rtdb/transport/socket"
)

// A led is a server whose clients share the leader, with clients that are parked.
type led struct {
	clients []*foreign.Conn
	conns   []*socket.Conn
	begun   chan struct{} // gets one for each "detach", "pause" and "block" that is being handled
	gate    chan struct{} // lets one of them be handled

	mu      sync.Mutex
	handled []string // messages, in the order in which Handle has returned
}

// A ledHandler sends each message back.
type ledHandler struct {
	echo
	led *led
}

func (h ledHandler) Handle(text []byte) error {
	switch message := string(text); {
	case message == "detach":
		h.Detach()
		h.led.begun <- struct{}{}
		<-h.led.gate
	case message == "pause":
		h.Pause()
		h.led.begun <- struct{}{}
		<-h.led.gate
		h.Resume()
	case message == "brief":
		h.Pause()
		h.Resume()
	case message == "block":
		h.led.begun <- struct{}{}
		<-h.led.gate
	case message == "fail":
		return errFailed
	case strings.HasPrefix(message, "slow"):
		<-time.After(5 * time.Millisecond)
	}
	h.led.mu.Lock()
	h.led.handled = append(h.led.handled, string(text))
	h.led.mu.Unlock()
	return h.echo.Handle(text)
}

// serveLed connects n clients, and waits until they send seldom.
func serveLed(t *testing.T, n int) *led {
	t.Helper()
	l := &led{begun: make(chan struct{}, n), gate: make(chan struct{}, n)}
	readers := &socket.Readers{MessageTimeout: time.Minute}
	accepted, ended := make(chan struct{}, n), make(chan error, n)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := new(socket.Conn)
		if err := c.Accept(w, r, socket.Options{Readers: readers}); err != nil {
			t.Error(err)
			return
		}
		l.conns = append(l.conns, c)
		c.Start(idleSession{})
		accepted <- struct{}{}
		c.Serve(ledHandler{echo{c, ended}, l})
	}))
	for range n {
		c, _, err := foreign.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		<-accepted
		l.clients = append(l.clients, c)
	}
	t.Cleanup(func() {
		for _, c := range l.clients {
			_ = c.Close()
		}
		for range n {
			<-ended
		}
		server.Close()
		if l.conns[0].Polls() {
			t.Error("the poller still waits, without a connection")
		}
	})
	l.rest(t)
	return l
}

// rest waits until the connections are parked, for so long that their clients send seldom.
func (l *led) rest(t *testing.T) {
	t.Helper()
	for _, c := range l.conns {
		for end := time.Now().Add(time.Minute); !c.Parked(); <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("a connection is not parked")
			}
		}
	}
	<-time.After(2 * lookInterval)
}

func (l *led) send(t *testing.T, client int, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := l.clients[client].WriteMessage(foreign.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

// want waits for messages that the server sends back.
func (l *led) want(t *testing.T, client int, messages ...string) {
	t.Helper()
	for _, want := range messages {
		_ = l.clients[client].SetReadDeadline(time.Now().Add(time.Minute))
		if _, got, err := l.clients[client].ReadMessage(); err != nil || string(got) != want {
			t.Fatalf("client %d got %q, %v; want %q", client, got, err, want)
		}
	}
}

// A client that is served by the poller's leader holds up no other client, whatever it sends.
func TestTheLeaderIsNotHeldUp(t *testing.T) {
	for name, x := range map[string]struct {
		hold    func(t *testing.T, l *led) // by client 0
		release func(t *testing.T, l *led)
	}{
		"a request that waits": {
			func(t *testing.T, l *led) { l.send(t, 0, "detach"); <-l.begun },
			func(t *testing.T, l *led) { l.gate <- struct{}{}; l.want(t, 0, "detach") },
		},
		"requests behind one that waits": {
			func(t *testing.T, l *led) { l.send(t, 0, "a", "detach", "b"); <-l.begun },
			func(t *testing.T, l *led) { l.gate <- struct{}{}; l.want(t, 0, "a", "detach", "b") },
		},
		"a pause that takes long": {
			func(t *testing.T, l *led) { l.send(t, 0, "brief", "pause", "brief"); <-l.begun },
			func(t *testing.T, l *led) { l.gate <- struct{}{}; l.want(t, 0, "brief", "pause", "brief") },
		},
		"half a message": {
			func(t *testing.T, l *led) { _, _ = l.clients[0].NetConn().Write([]byte{0x81, 0x81, 0, 0}) },
			func(t *testing.T, l *led) {
				_, _ = l.clients[0].NetConn().Write([]byte{0, 0, 'x'})
				l.want(t, 0, "x")
			},
		},
		"half a message behind a whole one": {
			func(t *testing.T, l *led) {
				_, _ = l.clients[0].NetConn().Write([]byte{0x81, 0x81, 0, 0, 0, 0, 'x', 0x81})
			},
			func(t *testing.T, l *led) {
				_, _ = l.clients[0].NetConn().Write([]byte{0x81, 0, 0, 0, 0, 'y'})
				l.want(t, 0, "x", "y")
			},
		},
		"a long message": {
			func(t *testing.T, l *led) { l.send(t, 0, strings.Repeat("x", 100_000)) },
			func(t *testing.T, l *led) { l.want(t, 0, strings.Repeat("x", 100_000)) },
		},
		"a ping": {
			func(t *testing.T, l *led) {
				_ = l.clients[0].WriteControl(foreign.PingMessage, nil, time.Now().Add(time.Minute))
			},
			func(t *testing.T, l *led) {
				l.send(t, 0, "after the ping")
				l.want(t, 0, "after the ping")
			},
		},
		"a pong": {
			func(t *testing.T, l *led) {
				_ = l.clients[0].WriteControl(foreign.PongMessage, []byte("p"), time.Now().Add(time.Minute))
			},
			func(t *testing.T, l *led) {
				if !l.conns[0].Ponged() || !l.conns[0].Parked() {
					t.Error("the leader has not read the pong, or the connection is not parked")
				}
				l.send(t, 0, "after the pong")
				l.want(t, 0, "after the pong")
			},
		},
		"pongs before and behind messages": {
			func(t *testing.T, l *led) {
				_, _ = l.clients[0].NetConn().Write([]byte("\x8a\x80\x00\x00\x00\x00\x8a\x81\x00\x00\x00\x00p" +
					"\x81\x81\x00\x00\x00\x00x\x8a\x80\x00\x00\x00\x00\x81\x81\x00\x00\x00\x00y\x8a\x80\x00\x00\x00\x00"))
			},
			func(t *testing.T, l *led) { l.want(t, 0, "x", "y") },
		},
		"half a pong": {
			func(t *testing.T, l *led) { _, _ = l.clients[0].NetConn().Write([]byte{0x8a, 0x81, 0, 0}) },
			func(t *testing.T, l *led) {
				_, _ = l.clients[0].NetConn().Write([]byte{0, 0, 'p'})
				l.send(t, 0, "after the pong")
				l.want(t, 0, "after the pong")
			},
		},
		"a fault, whose close frame nobody answers": {
			func(t *testing.T, l *led) { l.send(t, 0, "fail") },
			func(*testing.T, *led) {},
		},
		"the end of its connection": {
			func(t *testing.T, l *led) { _ = l.clients[0].NetConn().Close() },
			func(*testing.T, *led) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := serveLed(t, 2)
			for range 2 { // in the second round another goroutine leads
				x.hold(t, l)
				l.send(t, 1, "other")
				l.want(t, 1, "other")
				x.release(t, l)
				if name == "a fault, whose close frame nobody answers" || name == "the end of its connection" {
					return
				}
				l.rest(t)
			}
		})
	}
}

// A client that was quiet, and then sends many messages at once, gets a goroutine, and others do not wait for it.
func TestTheLeaderServesOthersBetweenManyMessages(t *testing.T) {
	t.Parallel()
	l := serveLed(t, 2)
	const many = 100
	var messages []string
	for i := range many {
		messages = append(messages, "slow "+strconv.Itoa(i))
	}
	l.send(t, 0, messages...)
	l.send(t, 1, "other")
	l.want(t, 1, "other")
	l.want(t, 0, messages...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := slices.Index(l.handled, "other"); at > many/2 {
		t.Errorf("%d messages of another client were handled before it", at)
	}
	if only := slices.DeleteFunc(l.handled, func(m string) bool { return m == "other" }); !slices.Equal(only, messages) {
		t.Errorf("handled %q, want the messages in order", only)
	}
}

// A client that has answered a ping is parked again, also if many do so at the same moment.
func TestAllClientsAreParkedAfterTheirPongs(t *testing.T) {
	for kind, name := range map[int]string{foreign.PongMessage: "pong", foreign.PingMessage: "ping"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := serveLed(t, 30)
			l.send(t, 0, "block")
			<-l.begun
			for _, c := range l.clients[1:] {
				if err := c.WriteControl(kind, nil, time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
			l.gate <- struct{}{}
			l.want(t, 0, "block")
			l.rest(t)
		})
	}
}

// If many clients send at the same moment, some of them get goroutines, so that all processors work.
func TestTheLeaderSharesMuchWork(t *testing.T) {
	t.Parallel()
	const clients, together = 14, 6 // of 13 clients, 5 get a goroutine, and the leader serves the others
	l := serveLed(t, clients)
	l.send(t, 0, "block")
	<-l.begun
	for i := 1; i < clients; i++ {
		l.send(t, i, "block") // the leader sees them together
	}
	l.gate <- struct{}{}
	l.want(t, 0, "block")
	for n := range together {
		select {
		case <-l.begun:
		case <-time.After(time.Minute):
			t.Fatalf("%d requests are handled at the same time, want %d", n, together)
		}
	}
	for range clients - 1 {
		l.gate <- struct{}{}
	}
	for i := 1; i < clients; i++ {
		l.want(t, i, "block")
	}
}
