package transport_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A peer is a WebSocket client of another project: gorilla/websocket.
type peer struct {
	*websocket.Conn
	t testing.TB
}

func (w *wire) dial(t testing.TB) *peer {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &peer{c, t}
}

// dialAs opens a WebSocket with a token in the header, or without one if token is "".
func (w *wire) dialAs(t testing.TB, token string) *peer {
	t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &peer{c, t}
}

// dialVersioned opens a WebSocket and offers subprotocols; rtdb.v1 has versions in updates.
func (w *wire) dialVersioned(t testing.TB, offered ...string) *peer {
	t.Helper()
	d := websocket.Dialer{Subprotocols: offered}
	c, answer, err := d.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if got := answer.Header.Get("Sec-WebSocket-Protocol"); got != c.Subprotocol() {
		t.Errorf("subprotocol %q", got)
	}
	return &peer{c, t}
}

func (p *peer) send(message string) {
	p.t.Helper()
	if err := p.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		p.t.Fatalf("send %.80s: %v", message, err)
	}
}

func (p *peer) receive() string {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	kind, message, err := p.ReadMessage()
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	if kind != websocket.TextMessage {
		p.t.Fatalf("received a message of kind %d", kind)
	}
	return string(message)
}

// want expects the next messages.
func (p *peer) want(messages ...string) {
	p.t.Helper()
	for _, want := range messages {
		if got := p.receive(); got != want {
			p.t.Fatalf("received %s, want %s", got, want)
		}
	}
}

// ask sends a request and expects the reply as the next message.
func (p *peer) ask(message, want string) {
	p.t.Helper()
	p.send(message)
	p.want(want)
}

// askAmong sends a request and reads messages until the reply comes.
func (p *peer) askAmong(message, want string) {
	p.t.Helper()
	p.send(message)
	for p.receive() != want {
	}
}

// wantCode sends a request with an id and expects a reply with an error code, or without
// one if code is "".
func (p *peer) wantCode(message, code string) {
	p.t.Helper()
	p.send(message)
	if got := p.receive(); errorCode(p.t, got) != code {
		p.t.Errorf("%s is answered %s, want code %q", message, got, code)
	}
}

// wantClose reads messages until the server's close frame and expects its code.
func (p *peer) wantClose(code int) {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	for {
		_, _, err := p.ReadMessage()
		if err == nil {
			continue
		}
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != code {
			p.t.Fatalf("the connection ended with %v, want close code %d", err, code)
		}
		return
	}
}

// rawWrite writes bytes past the client library.
func rawWrite(p *peer, bytes string) { _, _ = p.NetConn().Write([]byte(bytes)) }

// handshake opens a WebSocket on a plain connection; the caller writes the frames.
func handshake(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+address+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", answer, err)
	}
	return c
}

// quote returns s as a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return string(b)
}

// A bystander is a client that must not notice what other clients do.
type bystander struct {
	*peer
	w *wire
	n int
}

func newBystander(w *wire, p *peer) *bystander {
	p.t.Helper()
	p.wantCode(`{"id":1,"action":"subscribe","key":"bystander"}`, "")
	return &bystander{peer: p, w: w}
}

// check expects that the bystander gets an update and is answered.
func (b *bystander) check() {
	b.t.Helper()
	b.n++
	if _, err := b.w.keyspace.Set(b.t.Context(), "bystander", fmt.Append(nil, b.n)); err != nil {
		b.t.Fatal(err)
	}
	b.want(fmt.Sprintf(`{"key":"bystander","value":%d}`, b.n))
	b.ask(`{"id":2,"action":"ping"}`, `{"id":2,"ok":true,"action":"pong"}`)
}
