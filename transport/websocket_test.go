package transport_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
)

// A message of exactly the limit is accepted, in one piece or in many.
func TestTheLargestMessageIsAccepted(t *testing.T) {
	w := newWire(t, transport.Options{MaxValueBytes: 1000})
	p := w.dial(t)
	request := `{"action":"ping","id":1}`
	request = strings.Repeat(" ", 1<<20+1000-len(request)) + request
	p.ask(request, `{"id":1,"ok":true,"action":"pong"}`)
	out, err := p.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(request); i += 1000 {
		if _, err := out.Write([]byte(request[i:min(i+1000, len(request))])); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	p.want(`{"id":1,"ok":true,"action":"pong"}`)
}

// Bytes that net/http has read beyond the handshake are not lost.
func TestAMessageSentWithTheHandshakeIsAnswered(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, size := range []int{0, 100, 3000, 20_000} { // shorter and longer than net/http's buffer
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		message := `{"action":"ping","id":"` + strings.Repeat("x", size) + `"}`
		frame := []byte{0x81, 0xfe, byte(len(message) >> 8), byte(len(message)), 0, 0, 0, 0}
		if len(message) <= 125 {
			frame = []byte{0x81, 0x80 | byte(len(message)), 0, 0, 0, 0}
		}
		handshake := "GET /ws HTTP/1.1\r\nHost: " + w.addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		if _, err := c.Write(append(append([]byte(handshake), frame...), message...)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		var got []byte
		buffer := make([]byte, 64<<10)
		for !bytes.Contains(got, []byte(`"action":"pong"`)) {
			n, err := c.Read(buffer)
			if err != nil {
				t.Fatalf("%d bytes after the handshake: %v; got %q", size, err, got)
			}
			got = append(got, buffer[:n]...)
		}
	}
}

func TestHandshakesThatAreRefused(t *testing.T) {
	w := newWire(t, transport.Options{})
	good := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	}
	for name, test := range map[string]struct {
		change map[string]string
		status int
		code   string
	}{
		"version":      {map[string]string{"Sec-WebSocket-Version": "12"}, 400, "invalid_request"},
		"key":          {map[string]string{"Sec-WebSocket-Key": "short"}, 400, "invalid_request"},
		"no upgrade":   {map[string]string{"Upgrade": "h2c"}, 426, "invalid_request"},
		"other origin": {map[string]string{"Origin": "https://evil.example"}, 403, "forbidden"},
		"null origin":  {map[string]string{"Origin": "null"}, 403, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest("GET", "http://"+w.addr+"/ws", nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range good {
				r.Header.Set(k, v)
			}
			for k, v := range test.change {
				r.Header.Set(k, v)
			}
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var body bytes.Buffer
			if _, err := body.ReadFrom(answer.Body); err != nil {
				t.Fatal(err)
			}
			if code := errorCode(t, body.String()); answer.StatusCode != test.status || code != test.code {
				t.Errorf("%d %s, want %d %s", answer.StatusCode, body.String(), test.status, test.code)
			}
		})
	}
	// HEAD and HTTP/1.0 cannot be upgraded, and get the same status.
	for _, request := range []string{
		"HEAD /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"GET /ws HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: strings.TrimSpace(request[:4])})
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != 426 || answer.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%.20q: %s, Upgrade: %q; want 426 with websocket", request, answer.Status, answer.Header.Get("Upgrade"))
		}
	}
	// The server's own origin is accepted, and compression is not.
	d := websocket.Dialer{EnableCompression: true}
	c, answer, err := d.Dial("ws://"+w.addr+"/ws", http.Header{"Origin": {"http://" + w.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if h := answer.Header.Get("Sec-WebSocket-Extensions"); h != "" {
		t.Errorf("extensions agreed to: %s", h)
	}
}

// Requests that a client sent before its close frame, or before the end of what it sends, are
// answered before the server's close frame.
func TestRequestsAreAnsweredBeforeTheCloseFrame(t *testing.T) {
	w := newWire(t, transport.Options{})
	const closeFrame, nothing, header, payload = "\x88\x82\x00\x00\x00\x00\x03\xe8", "", "\x81\xfe\x00", "\x81\x85\x00\x00\x00\x00part"
	const fragment = "\x01\xa4\x00\x00\x00\x00" + `{"action":"delete","key":"k","id":1}`
	for _, end := range []string{closeFrame, nothing, header, payload, fragment} {
		for range 20 {
			p := w.dial(t)
			const n = 500
			for i := range n {
				p.send(fmt.Sprintf(`{"action":"set","key":"k","value":%d,"id":%d}`, i, i))
			}
			rawWrite(p, end)
			if end != closeFrame {
				_ = p.NetConn().(*net.TCPConn).CloseWrite()
			}
			for i := range n {
				if got := p.receive(); !strings.HasPrefix(got, fmt.Sprintf(`{"id":%d,"ok":true`, i)) {
					t.Fatalf("after %q, reply %d is %s", end, i, got)
				}
			}
			if end == closeFrame {
				p.wantClose(1000)
			} else if _, text, err := p.ReadMessage(); err == nil {
				t.Errorf("after %q, %s came", end, text)
			}
			_ = p.Close()
		}
	}
}

// A close reason that is not UTF-8 is not echoed (RFC 6455, section 8.1).
func TestACloseReasonThatIsNotUTF8IsNotEchoed(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	rawWrite(p, "\x88\x84\x00\x00\x00\x00\x03\xe8\xff\xfe")
	p.wantClose(1007)
}
