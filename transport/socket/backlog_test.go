package socket_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	foreign "github.com/gorilla/websocket"

	"rtdb/transport/socket"
)

// A busyHandler handles each message that begins with "wait" when the test opens its gate.
// It is the session, too, and writes control frames as they come.
type busyHandler struct {
	awaits bool // End awaits the close frame
	idleSession
	conn *socket.Conn
	gate chan struct{}

	limit atomic.Int32 // of a message, in bytes; 0: 1 MiB

	writing sync.Mutex

	mu      sync.Mutex
	handled []string
	running bool
	wrong   []string // what must not happen
	stopped []error
	gone    bool

	begun   chan struct{} // a call of Handle waits
	stopCh  chan struct{}
	endedCh chan error
}

func (h *busyHandler) Flush() {
	h.writing.Lock()
	defer h.writing.Unlock()
	_ = h.conn.Write(h.conn.TakeFrames())
}

func (h *busyHandler) MaxMessage() int { return cmp.Or(int(h.limit.Load()), 1<<20) }

func (h *busyHandler) Handle(text []byte) error {
	message := string(text)
	h.conn.More() // after it, another goroutine may read
	h.mu.Lock()
	if h.running {
		h.wrong = append(h.wrong, "two calls of Handle")
	}
	h.running = true
	h.mu.Unlock()
	if strings.HasPrefix(message, "wait") {
		h.begun <- struct{}{}
		<-h.gate
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = false
	h.handled = append(h.handled, message)
	if message != string(text) {
		h.wrong = append(h.wrong, "the text changed while it was handled")
	}
	if strings.HasSuffix(message, "fail") {
		return errFailed
	}
	return nil
}

var errFailed = errors.New("failed")

func (h *busyHandler) Stop(cause error, gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = append(h.stopped, cause)
	h.gone = gone
	close(h.stopCh)
	if !gone && !h.awaits {
		h.conn.Cut()
	}
}

func (h *busyHandler) End(cause error) {
	h.mu.Lock()
	if h.running {
		h.wrong = append(h.wrong, "End during Handle")
	}
	h.mu.Unlock()
	if h.awaits {
		h.conn.Await(websocket.StatusProtocolError, "")
	}
	h.conn.Release()
	h.endedCh <- cause
}

// serveBusy starts a server and connects a client to it.
func serveBusy(t *testing.T) (*busyHandler, client) {
	h, url, accepted := startBusy(t)
	c, _, err := foreign.DefaultDialer.Dial(strings.Replace(url, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	pongs := make(chan struct{}, 1)
	c.SetPongHandler(func(string) error { pongs <- struct{}{}; return nil })
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = c.Close()
		reading.Wait()
	})
	<-accepted
	return h, client{c, t, pongs}
}

// startBusy starts a server for one client. accepted is closed after the handshake.
func startBusy(t *testing.T) (h *busyHandler, url string, accepted chan struct{}) {
	h = &busyHandler{
		conn: new(socket.Conn), gate: make(chan struct{}), begun: make(chan struct{}, 1),
		stopCh: make(chan struct{}), endedCh: make(chan error, 2),
	}
	readers := &socket.Readers{MessageTimeout: time.Minute}
	accepted = make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.conn.Accept(w, r, socket.Options{Readers: readers}); err != nil {
			t.Error(err)
			return
		}
		h.conn.Start(h)
		close(accepted)
		h.conn.Serve(h)
	}))
	t.Cleanup(server.Close)
	return h, server.URL, accepted
}

// A client reads until its connection ends.
type client struct {
	*foreign.Conn
	t     *testing.T
	pongs chan struct{}
}

func (c client) send(messages ...string) {
	c.t.Helper()
	for _, m := range messages {
		if err := c.WriteMessage(foreign.TextMessage, []byte(m)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// ping sends a ping and waits for its pong: after that the server has read all messages
// before it.
func (c client) ping() {
	c.t.Helper()
	if err := c.WriteControl(foreign.PingMessage, nil, time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	select {
	case <-c.pongs:
	case <-time.After(time.Minute):
		c.t.Fatal("no pong")
	}
}

// want expects the messages that were handled, after the end.
func (h *busyHandler) want(t *testing.T, handled ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.handled, handled) || len(h.wrong) > 0 || len(h.stopped) != 1 {
		t.Errorf("handled %q, want %q; %q; Stop was called with %v", h.handled, handled, h.wrong, h.stopped)
	}
	if len(h.endedCh) > 0 {
		t.Error("End was called twice")
	}
}

// While a message is handled, pings are answered and messages are read. They are handled in
// order, and so are those that come later.
func TestMessagesAreReadWhileOneIsHandled(t *testing.T) {
	h, c := serveBusy(t)
	var want []string
	for round := range 3 {
		for i := range 100 {
			m := fmt.Sprint(round, " ", i)
			if i == 10 {
				m = "wait " + m
			}
			c.send(m)
			want = append(want, m)
		}
		<-h.begun
		c.ping()
		h.gate <- struct{}{}
		c.ping()
	}
	c.send("last")
	if err := c.WriteMessage(foreign.CloseMessage, foreign.FormatCloseMessage(1000, "")); err != nil {
		t.Fatal(err)
	}
	<-h.endedCh
	h.want(t, append(want, "last")...)
}

// A client that is gone while a message is handled is noticed at once. The messages that
// were read before are still handled, and then comes the end.
func TestAClientThatIsGoneIsNoticedWhileAMessageIsHandled(t *testing.T) {
	for _, closes := range []bool{false, true} {
		h, c := serveBusy(t)
		c.send("wait 1", "2", "3")
		<-h.begun
		c.ping()
		if closes {
			if err := c.WriteMessage(foreign.CloseMessage, foreign.FormatCloseMessage(1001, "")); err != nil {
				t.Fatal(err)
			}
		} else if err := c.NetConn().(interface{ SetLinger(int) error }).SetLinger(0); err != nil {
			t.Fatal(err)
		} else {
			_ = c.Close()
		}
		if closes { // the requests before the close frame come first
			h.gate <- struct{}{}
			<-h.stopCh
		} else {
			<-h.stopCh
			h.gate <- struct{}{}
		}
		<-h.endedCh
		h.want(t, "wait 1", "2", "3")
		if !h.gone {
			t.Error("Stop was not told that the client is gone")
		}
	}
}

// Requests that come before a fault of the client, or before the end of what it sends, are
// handled first.
func TestAFaultDoesNotOvertakeEarlierMessages(t *testing.T) {
	endAfter := func(bytes string) func(c client) error {
		return func(c client) error {
			_, err := io.WriteString(c.NetConn(), bytes)
			return errors.Join(err, c.NetConn().(interface{ CloseWrite() error }).CloseWrite())
		}
	}
	for name, end := range map[string]func(c client) error{
		"a binary message":         func(c client) error { return c.WriteMessage(foreign.BinaryMessage, nil) },
		"half-closed":              endAfter(""),
		"half-closed in a header":  endAfter("\x81\x85\x00"),
		"half-closed in a payload": endAfter("\x81\x85\x00\x00\x00\x00part"),
		"half-closed in a message": endAfter("\x01\x84\x00\x00\x00\x00part"),
		"a long message": func(c client) error {
			return c.WriteMessage(foreign.TextMessage, make([]byte, 2<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, c := serveBusy(t)
			c.send("wait 1", "2")
			<-h.begun
			c.ping()
			c.send("wait 3")
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			h.gate <- struct{}{}
			<-h.begun
			h.gate <- struct{}{}
			<-h.endedCh
			h.want(t, "wait 1", "2", "wait 3")
			if h.gone {
				t.Error("Stop was told that the client is gone")
			}
		})
	}
}

// After an error of Handle no other message is handled, even if it was read before.
func TestNothingIsHandledAfterAnError(t *testing.T) {
	h, c := serveBusy(t)
	c.send("wait and fail", "2")
	<-h.begun
	c.ping()
	h.gate <- struct{}{}
	<-h.endedCh
	h.want(t, "wait and fail")
	if !errors.Is(h.stopped[0], errFailed) {
		t.Errorf("Stop got %v", h.stopped[0])
	}
}
