package transport_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A client that this project did not write works as it stands.
func TestAForeignClient(t *testing.T) {
	w := newWire(t, transport.Options{})
	c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteJSON(map[string]string{"action": "subscribe", "key": "temperature"}); err != nil {
		t.Fatal(err)
	}
	// There is no reply to wait for: write until the subscription is there.
	done := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(done)
	writer.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				w.want(t, "POST", "/data/temperature", `{"value":22}`, 200, `"value":22`)
			}
		}
	})
	_ = c.SetReadDeadline(time.Now().Add(patience))
	kind, message, err := c.ReadMessage()
	if err != nil || kind != websocket.TextMessage || string(message) != `{"key":"temperature","value":22}` {
		t.Fatalf("ReadMessage: %d %s %v", kind, message, err)
	}
}

// Requests take effect, and are answered, in the order sent, however many are
// on the way.
func TestPipelinedRequestsKeepTheirOrder(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	const n = 2000
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range n {
			p.send(fmt.Sprintf(`{"action":"set","key":"k","value":%d}`, i))
			p.send(`{"action":"get","key":"k"}`)
			p.send(fmt.Sprintf(`{"action":"get","key":"k","id":%d}`, i))
		}
	})
	for i := range n {
		p.want(
			fmt.Sprintf(`{"key":"k","value":%d,"version":%d}`, i, i+1),
			fmt.Sprintf(`{"id":%d,"ok":true,"key":"k","value":%d,"version":%d}`, i, i, i+1),
		)
	}
	sender.Wait()
}

// A client that asks for far more than may wait for it, and reads late, gets
// every answer.
func TestAClientMayAskFasterThanItReads(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/k", `{"value":"`+strings.Repeat("x", 60_000)+`"}`, 200, "")
	p, other := w.dial(t), w.dial(t)
	const n = 400 // 24 MB of answers
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range n {
			p.send(fmt.Sprintf(`{"action":"get","key":"k","id":%d}`, i))
		}
	})
	other.ask(`{"action":"ping","id":1}`, `{"id":1,"ok":true,"action":"pong"}`)
	for i := range n {
		if got := p.receive(); !strings.HasPrefix(got, fmt.Sprintf(`{"id":%d,"ok":true,`, i)) {
			t.Fatalf("answer %d is %.60s", i, got)
		}
	}
	sender.Wait()
}

func TestCloseCodes(t *testing.T) {
	w := newWire(t, transport.Options{MaxValueBytes: 1000})
	other := w.dial(t)
	for name, test := range map[string]struct {
		send func(p *peer)
		code int
	}{
		"binary": {func(p *peer) { _ = p.WriteMessage(websocket.BinaryMessage, []byte(`{"action":"ping"}`)) }, 1003},
		"invalid UTF-8": {func(p *peer) {
			_ = p.WriteMessage(websocket.TextMessage, []byte("{\"action\":\"get\",\"key\":\"\xff\"}"))
		}, 1007},
		"too big": {func(p *peer) {
			_ = p.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte(" "), 1<<20+1001))
		}, 1009},
		"far too big": {func(p *peer) {
			_ = p.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 30<<20))
		}, 1009},
		"too big in pieces": {func(p *peer) {
			out, err := p.NextWriter(websocket.TextMessage)
			for range 200 {
				if err == nil {
					_, err = out.Write(bytes.Repeat([]byte(" "), 10_000))
				}
			}
			if err == nil {
				err = out.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}, 1009},
		"reserved bits":   {func(p *peer) { rawWrite(p, "\xf1\x80\x00\x00\x00\x00") }, 1002},
		"unknown opcode":  {func(p *peer) { rawWrite(p, "\x83\x80\x00\x00\x00\x00") }, 1002},
		"unmasked":        {func(p *peer) { rawWrite(p, "\x81\x02{}") }, 1002},
		"stray fragment":  {func(p *peer) { rawWrite(p, "\x80\x80\x00\x00\x00\x00") }, 1002},
		"long ping":       {func(p *peer) { rawWrite(p, "\x89\xfe\x00\x7e\x00\x00\x00\x00") }, 1002},
		"negative length": {func(p *peer) { rawWrite(p, "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00") }, 1002},
		"a length of 2^63-1": {func(p *peer) {
			rawWrite(p, "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"+strings.Repeat("x", 1<<20+1001))
		}, 1009},
		"by the client": {func(p *peer) {
			_ = p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"))
		}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.dial(t)
			p.t = t
			// What was asked before is answered before.
			p.send(`{"action":"ping","id":1}`)
			test.send(p)
			if test.code != 1000 && test.code != 1002 {
				p.want(`{"id":1,"ok":true,"action":"pong"}`)
			}
			p.wantClose(test.code)
		})
	}
	other.ask(`{"action":"ping","id":1}`, `{"id":1,"ok":true,"action":"pong"}`)
	for _, e := range w.log.await(t, "session closed", 13) {
		if e["reason"] == "" || e["reason"] == "internal error" {
			t.Errorf("logged %v", e)
		}
	}
}

func rawWrite(p *peer, bytes string) { _, _ = p.NetConn().Write([]byte(bytes)) }

// A message of exactly the limit is fine, in one piece or in many.
func TestTheLargestMessage(t *testing.T) {
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

// What net/http has read beyond the handshake is not lost.
func TestAMessageThatComesWithTheHandshake(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, size := range []int{0, 100, 3000, 20_000} { // within net/http's buffer, and past it
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
	// HEAD and HTTP/1.0 are told what GET and HTTP/1.1 are.
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
	// The same origin is fine, and compression is not agreed to.
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

// A client that reads nothing is closed after 10 s, and nobody else notices.
func TestAClientThatDoesNotReadIsClosed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	t.Parallel()
	w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
	stalled := w.dial(t)
	screens := make([]*peer, 20)
	for i := range screens {
		screens[i] = w.dial(t)
	}
	for _, p := range append(screens, stalled) {
		p.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0}`)
		p.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0}`)
	}
	value := strings.Repeat("x", 60_000)
	start := time.Now()
	var slowest time.Duration
	writes := 0
	for len(w.log.lines(t, "session closed")) == 0 {
		began := time.Now()
		if _, err := w.keyspace.Set(t.Context(), "k", []byte(quote(value))); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if err := w.keyspace.Publish(t.Context(), "t", []byte(quote(value))); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
		for _, p := range screens {
			p.want(`{"key":"k","value":"`+value+`"}`, `{"topic":"t","value":"`+value+`"}`)
		}
		writes++
		if time.Since(start) > patience {
			t.Fatal("a client that reads nothing is still there")
		}
	}
	if took := time.Since(start); took < transport.StallTimeout {
		t.Errorf("closed after %v, want no less than %v", took, transport.StallTimeout)
	}
	e := w.log.await(t, "session closed", 1)[0]
	count := func(name string) int { return int(e[name].(float64)) }
	const unheard = 2 * 5 // written between its subscriptions' end and the log's line
	if e["code"] != 4008.0 || e["reason"] != "too slow" || count("dropped") == 0 || count("conflated") == 0 ||
		count("delivered")+count("conflated")+count("dropped") < 2*writes-unheard {
		t.Errorf("logged %v after %d writes, want code 4008 and all but %d of them", e, 2*writes, unheard)
	}
	lag := w.log.await(t, "session lagging", 1)[0]
	if n := int(lag["pending_bytes"].(float64)); n > 1<<20+3*len(value) {
		t.Errorf("%d bytes waited, want 1 MiB of the topic and one value of the key at most", n)
	}
	for _, p := range screens {
		p.ask(`{"action":"ping","id":2}`, `{"id":2,"ok":true,"action":"pong"}`)
	}
	t.Logf("%d writes of 60 kB to each of %d in %v; the slowest took %v", 2*writes, len(screens), time.Since(start), slowest)
}

// One that reads too slowly for a topic is told how much it has missed.
func TestASlowClientIsToldWhatItMissed(t *testing.T) {
	w := newWire(t, transport.Options{})
	slow := w.dial(t)
	slow.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0}`)
	const all = 400 // more than the kernel and the session hold
	padding := strings.Repeat("x", 60_000)
	publish := func(n int) {
		t.Helper()
		if err := w.keyspace.Publish(t.Context(), "t", fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, n, padding)); err != nil {
			t.Fatal(err)
		}
	}
	published := 0
	for published < all {
		publish(published)
		published++
	}
	received := make(chan string)
	go func() {
		defer close(received)
		for {
			_, m, err := slow.ReadMessage()
			if err != nil {
				return // closed by the test, below
			}
			received <- string(m)
		}
	}()
	next, missed := 0, 0
	more := time.NewTicker(10 * time.Millisecond)
	defer more.Stop()
	for late := time.After(patience); next < all; {
		select {
		case <-late:
			t.Fatalf("after %v the client is at message %d of %d", patience, next, published)
		case <-more.C: // until there is room for one, before which it hears of the gap
			publish(published)
			published++
		case text := <-received:
			var m struct {
				Missed int
				Value  struct{ N int }
			}
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Missed > 0:
				missed += m.Missed
				next += m.Missed
			case m.Value.N != next:
				t.Fatalf("message %d came, want %d or to hear of a gap", m.Value.N, next)
			default:
				next++
			}
		}
	}
	if missed == 0 || missed >= next {
		t.Errorf("missed %d of %d", missed, next)
	}
	if err := slow.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")); err != nil {
		t.Fatal(err)
	}
	for range received { // what is still on its way
	}
	e := w.log.await(t, "session closed", 1)[0]
	if all := int(e["delivered"].(float64) + e["dropped"].(float64)); e["code"] != 1000.0 || all != published {
		t.Errorf("logged %v, want all %d", e, published)
	}
}

// What clients did leaves nothing behind when they have gone.
func TestClientsLeaveNothingBehind(t *testing.T) {
	w := newWire(t, transport.Options{})
	for round := range 3 {
		var clients sync.WaitGroup
		for c := range 20 {
			clients.Go(func() {
				p := w.dial(t)
				for i := range 100 {
					key := fmt.Sprintf("round%d/c%d/%d", round, c, i)
					p.send(`{"action":"subscribe","key":"` + key + `"}`)
					p.send(`{"action":"set","key":"` + key + `","value":1}`)
					p.send(`{"action":"delete","key":"` + key + `"}`)
					p.send(fmt.Sprintf(`{"action":"subscribe","topic":"round%d/%d"}`, round, i))
					p.send(fmt.Sprintf(`{"action":"get","key":"nothing/%d/%d"}`, c, i))
				}
				p.ask2(`{"action":"ping"}`, `{"action":"pong"}`)
				switch c % 3 {
				case 0:
					_ = p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
				case 1:
					_ = p.NetConn().(*net.TCPConn).SetLinger(0) // a reset
				}
				_ = p.Close()
			})
		}
		clients.Wait()
		w.log.await(t, "session closed", (round+1)*20)
	}
	if n := w.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	// A key that is still subscribed to remembers the version of its delete;
	// one that nobody holds is retired, and remembers nothing.
	for c := range 20 {
		key := fmt.Sprintf("round1/c%d/%d", c, 5*c)
		if err := w.keyspace.GetInOrder(t.Context(), key, func(e keyspace.Entry) {
			if e.Value != nil || e.Version != 0 {
				t.Errorf("%s is still there: %+v", key, e)
			}
		}); err != nil {
			t.Error(err)
		}
	}
}

// ask2 sends a request and reads on until the reply.
func (p *peer) ask2(message, want string) {
	p.t.Helper()
	p.send(message)
	for p.receive() != want {
	}
}

// What a client asked before it closed is answered before the server closes.
func TestAClientIsAnsweredBeforeItsCloseIs(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, half := range []bool{false, true} {
		for range 20 {
			p := w.dial(t)
			const n = 500
			for i := range n {
				p.send(fmt.Sprintf(`{"action":"set","key":"k","value":%d,"id":%d}`, i, i))
			}
			if half {
				_ = p.NetConn().(*net.TCPConn).CloseWrite()
			} else {
				_ = p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
			}
			for i := range n {
				if got := p.receive(); !strings.HasPrefix(got, fmt.Sprintf(`{"id":%d,"ok":true`, i)) {
					t.Fatalf("reply %d is %s", i, got)
				}
			}
			if !half {
				p.wantClose(1000)
			}
			_ = p.Close()
		}
	}
}

// A reason that is not UTF-8 is not echoed (RFC 6455, section 8.1).
func TestACloseReasonThatIsNotUTF8(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	rawWrite(p, "\x88\x84\x00\x00\x00\x00\x03\xe8\xff\xfe")
	p.wantClose(1007)
}
