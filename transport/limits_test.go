package transport_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/auth"
	"rtdb/transport/guard"
	"rtdb/transport/transporttest"
)

func TestMaxSessions(t *testing.T) {
	w := newWire(t, transport.Options{MaxSessions: 2})
	b, stream := newBystander(w, w.dial(t)), w.feed(t, "key=k")
	stream.want("id: e.0")
	w.wantTry(t, "503 limit_reached", "GET", "/ws", "", asWebSocket...)
	w.wantTry(t, "503 limit_reached", "GET", "/events?key=k", "")
	w.wantTry(t, "200", "POST", "/data/k", `{"value":1}`)
	b.check()
	stream.want(`id: e.1|data: {"key":"k","value":1}`)
	stream.end()
	for path, opened := range map[string]string{"/ws": "101", "/events?key=k": "200"} { // each client leaves at once
		transporttest.Eventually(t, "room again", func() bool {
			got, _ := w.try(t, "GET", path, "", asWebSocket...)
			return got == opened
		})
	}
	b.check()
}

func TestMaxSubscriptions(t *testing.T) {
	w := newWire(t, transport.Options{MaxSubscriptions: 3})
	b, c := newBystander(w, w.dial(t)), w.dial(t)
	c.wantCode(`{"id":1,"action":"subscribe","keys":["a","b","c","d"]}`, "limit_reached")
	c.wantCode(`{"id":1,"action":"subscribe","keys":["a","b","a"]}`, "")
	c.wantCode(`{"id":1,"action":"subscribe","topics":["c","d"]}`, "limit_reached")
	c.wantCode(`{"id":1,"action":"subscribe","topic":"c"}`, "") // now exactly at the limit
	c.wantCode(`{"id":1,"action":"subscribe","keys":["a","b"]}`, "")
	c.wantCode(`{"id":1,"action":"subscribe","pattern":"#"}`, "limit_reached")
	for _, name := range []string{"c", "d", "a"} { // refused subscriptions deliver nothing
		w.want(t, "POST", "/data/"+name, `{"value":1}`, 200, "")
		w.want(t, "POST", "/topics/"+name, `{"value":1}`, 202, "")
	}
	got := map[string]bool{c.receive(): true, c.receive(): true} // a key and a topic have no order
	if !got[`{"topic":"c","value":1}`] || !got[`{"key":"a","value":1}`] {
		t.Errorf("got %v", got)
	}
	c.wantCode(`{"id":1,"action":"unsubscribe","topic":"c"}`, "")
	c.wantCode(`{"id":1,"action":"subscribe","pattern":"x/#"}`, "")

	w.wantTry(t, "429 limit_reached", "GET", "/events?key=a&pattern=b&topic=c&topic=d", "")
	w.settle()
	w.feed(t, "key=a&pattern=b&topic=c").want("id: e.3")
	b.check()
}

func TestMaxKeys(t *testing.T) {
	w := newWireOn(t, keyspace.Options{MaxKeys: 3}, transport.Options{})
	b := newBystander(w, w.dial(t))
	b.check() // now its key exists
	for _, key := range []string{"a", "b"} {
		w.wantTry(t, "200", "POST", "/data/"+key, `{"value":1}`)
	}
	c := w.dial(t)
	for range 2 { // at the limit, and again after a key was deleted
		for _, method := range []string{"POST", "PUT", "PATCH"} {
			w.wantTry(t, "429 limit_reached", method, "/data/c", `{"value":1}`)
			w.wantTry(t, "200", method, "/data/a", `{"value":2}`)
		}
		_, text := w.call(t, "POST", "/data", `{"items":[{"key":"c","value":1},{"key":"a","value":3},{"key":"d","value":1}]}`)
		if strings.Count(text, "limit_reached") != 2 || !strings.Contains(text, `{"key":"a","version":`) {
			t.Errorf("a batch: %s", text)
		}
		for request, want := range map[string]string{
			`"action":"set","key":"c","value":1`: "limit_reached", `"action":"set","key":"a","value":1`: "",
			`"action":"patch","key":"c","value":{}`: "limit_reached", `"action":"patch","key":"b","value":{}`: "",
			`"action":"set","key":"c","value":1,"ifVersion":0`: "limit_reached", `"action":"publish","topic":"c","value":1`: "",
		} {
			c.wantCode(`{"id":1,`+request+`}`, want)
		}
		w.wantTry(t, "404 not_found", "GET", "/data/c", "")
		w.wantTry(t, "204", "DELETE", "/data/b", "")
		w.wantTry(t, "200", "POST", "/data/b", `{"value":1}`)
		b.check()
	}
	if n := w.keyspace.Keys(); n != 3 {
		t.Errorf("there are %d keys", n)
	}
}

// Over HTTP, each token and each address has a rate of its own.
func TestMaxRequestRate(t *testing.T) {
	w := newWire(t, transport.Options{
		MaxRequestRate: 2, Keys: testKeys(t), Anonymous: &auth.Grants{Read: []string{"#"}},
		TrustedProxies: guard.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	b := newBystander(w, w.dialAs(t, token(t, `{"read":["#"]}`, time.Minute)))
	const burst = 4
	for name, headers := range map[string][]string{
		"a token":         {"Authorization", "Bearer " + token(t, `{"read":["#"],"admin":true}`, time.Hour)},
		"another":         {"Authorization", "Bearer " + token(t, `{"read":["#"]}`, 2*time.Hour)},
		"an address":      {"X-Forwarded-For", "192.0.2.1"},
		"another address": {"X-Forwarded-For", "192.0.2.2"},
		"a household":     {"X-Forwarded-For", "2001:db8::1"},
		"its neighbour":   {"X-Forwarded-For", "2001:db8:0:1::1"},
	} {
		for i := range burst {
			if got, _ := w.try(t, "GET", "/data/k", "", headers...); got != "404 not_found" {
				t.Errorf("%s: request %d is answered %s", name, i, got)
			}
		}
		if name == "a household" { // all its addresses count as one
			headers = []string{"X-Forwarded-For", "2001:db8::ffff"}
		}
		refused := false
		for range burst { // the bucket fills meanwhile
			got, _ := w.try(t, "GET", "/data/k", "", headers...)
			refused = refused || got == "429 rate_limited"
		}
		if !refused {
			t.Errorf("%s: %d requests at once are not refused", name, 2*burst)
		}
	}
	for range 3 * burst {
		w.want(t, "GET", "/healthz", "", 200, "ok")
	}
	b.check()

	// Without a trusted proxy a client cannot claim another address for each request.
	w = newWire(t, transport.Options{MaxRequestRate: 2})
	codes := make(map[string]int)
	for i := range 4 * burst {
		got, _ := w.try(t, "GET", "/data/k", "", "X-Forwarded-For", fmt.Sprint("192.0.2.", i))
		codes[got]++
	}
	if codes["429 rate_limited"] == 0 {
		t.Errorf("X-Forwarded-For counts without a proxy that is trusted: %v", codes)
	}
}

// A session that exceeds the rate gets an error for each request, and is closed after
// 10 s.
func TestMaxRequestRateOfASession(t *testing.T) {
	inBubbleWith(t, transport.Options{MaxRequestRate: 2}, func(t *testing.T, p *piped) {
		other, c := p.dial(t), p.dial(t)
		start := time.Now()
		var sender sync.WaitGroup
		sender.Go(func() {
			for c.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"action":"ping"}`)) == nil {
				time.Sleep(100 * time.Millisecond)
			}
		})
		codes := make(map[string]int)
		_, message, err := c.ReadMessage()
		for ; err == nil; _, message, err = c.ReadMessage() {
			codes[errorCode(t, string(message))]++
		}
		if after := time.Since(start); !websocket.IsCloseError(err, 1008) || after < 10*time.Second || after > 11*time.Second {
			t.Errorf("ended with %v after %v, want 1008 after 10 s", err, after)
		}
		if codes[""] < 20 || codes[""] > 25 || codes["rate_limited"] < 70 || len(codes) != 2 {
			t.Errorf("answered %v, want two a second and four more", codes)
		}
		_ = c.Close()
		sender.Wait()
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["reason"] != "too many requests" {
			t.Errorf("logged %v", e)
		}
		for range 4 {
			(&peer{other, t}).wantCode(`{"id":1,"action":"ping"}`, "")
		}
		_ = other.Close()
		synctest.Wait()
	})
}

func TestMaxValueBytes(t *testing.T) {
	w := newWire(t, transport.Options{MaxValueBytes: 1000})
	b, c := newBystander(w, w.dial(t)), w.dial(t)
	fits, longer := quote(strings.Repeat("x", 998)), quote(strings.Repeat("x", 999))
	for value, want := range map[string]string{fits: "", longer: "too_large"} {
		status := map[string]string{"": "200", "too_large": "413 too_large"}[want]
		w.wantTry(t, status, "POST", "/data/k", `{"value": `+value+`}`)
		w.wantTry(t, strings.Replace(status, "200", "202", 1), "POST", "/topics/t", `{"value":`+value+`}`)
		w.wantTry(t, status, "PATCH", "/data/p", value)
		c.wantCode(`{"id":1,"action":"set","key":"k","value":`+value+`}`, want)
		c.wantCode(`{"id":1,"action":"publish","topic":"k","value":`+value+`}`, want)
		c.wantCode(`{"id":1,"action":"patch","key":"p","value":`+value+`}`, want)
	}
	w.wantTry(t, "200", "POST", "/data/k", `{"value":{"a":`+quote(strings.Repeat("x", 980))+`}}`)
	w.wantTry(t, "413 too_large", "PATCH", "/data/k", `{"b":`+quote(strings.Repeat("x", 100))+`}`) // the result is too large
	_, text := w.call(t, "POST", "/data", `{"items":[{"key":"k","value":`+longer+`},{"key":"k","value":`+fits+`}]}`)
	if strings.Count(text, "too_large") != 1 || strings.Count(text, "version") != 1 {
		t.Errorf("a batch: %s", text)
	}
	b.check()
}

// A client that does not read loses messages of a topic, and is told how many.
func TestMaxPendingBytes(t *testing.T) {
	w := newWire(t, transport.Options{MaxPendingBytes: 64 << 10})
	c, b := w.dial(t), newBystander(w, w.dial(t))
	_ = c.NetConn().(*net.TCPConn).SetReadBuffer(16 << 10)
	for _, p := range []*peer{c, b.peer} {
		p.wantCode(`{"id":1,"action":"subscribe","topic":"t"}`, "")
	}
	message := `{"topic":"t","value":` + quote(strings.Repeat("x", 10_000)) + `}`
	value := []byte(quote(strings.Repeat("x", 10_000)))
	sent, received, missed := 2000, 0, 0
	count := func(got string) {
		t.Helper()
		n := 0
		if got == message {
			received++
		} else if _, err := fmt.Sscanf(got, `{"topic":"t","missed":%d}`, &n); err != nil {
			t.Fatalf("received %.80s", got)
		}
		missed += n
	}
	for range sent {
		if err := w.keyspace.Publish(t.Context(), "t", value); err != nil {
			t.Fatal(err)
		}
		b.want(message)
	}
	c.send(`{"id":2,"action":"ping"}`)
	for got := c.receive(); got != `{"id":2,"ok":true,"action":"pong"}`; got = c.receive() {
		count(got) // a notice may come here, too: the kernel takes more while its buffers grow
	}
	if err := w.keyspace.Publish(t.Context(), "t", value); err != nil {
		t.Fatal(err)
	}
	for sent++; received+missed < sent; {
		count(c.receive())
	}
	if missed == 0 || received+missed > sent {
		t.Errorf("%d messages came and %d are missed, of %d", received, missed, sent)
	}
	b.want(message)
	b.check()
}

// The connections of slow clients end, and other connections stay.
func TestTimeouts(t *testing.T) {
	const limit = 300 * time.Millisecond
	w := newWire(t, transport.Options{HeaderTimeout: limit, IdleTimeout: limit, MessageTimeout: limit})
	b := newBystander(w, w.dial(t))
	const request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, begins := range map[string]string{"no header": "", "half a header": request[:30], "idle": request} {
		c := must(net.Dial("tcp", w.addr))
		start := time.Now()
		_, err := io.WriteString(c, begins)
		_ = c.SetReadDeadline(start.Add(patience))
		text, end := io.ReadAll(bufio.NewReader(c))
		if took := time.Since(start); errors.Join(err, end) != nil || took < limit/2 || bytes.Contains(text, []byte("200 OK")) != (name == "idle") {
			t.Errorf("%s: %q %v after %v, want an end after %v", name, text, end, took, limit)
		}
		_ = c.Close()
	}
	const silent = `{"action":"publish","topic":"t","value":1}`
	whole := strings.Repeat(string([]byte{0x81, 0x80 | byte(len(silent)), 0, 0, 0, 0})+silent, 3)
	waits := w.dial(t)
	rawWrite(waits, whole) // then it may wait as long as it likes
	for _, part := range []string{"\x81\x8a\x00\x00\x00\x00{", "\x81\x8a\x00"} {
		alone, behind := w.dial(t), w.dial(t)
		rawWrite(alone, part)
		rawWrite(behind, whole+part)
		alone.wantClose(1008)
		behind.wantClose(1008)
	}
	waits.wantCode(`{"id":1,"action":"ping"}`, "")
	b.check()
}

// If memory is short, new clients and new keys are refused, and existing clients go on.
func TestNothingNewBeginsIfMemoryIsShort(t *testing.T) {
	var crowded atomic.Bool
	w := newWireOn(t, keyspace.Options{Full: crowded.Load}, transport.Options{Crowded: crowded.Load})
	b, stream := newBystander(w, w.dial(t)), w.feed(t, "key=k")
	stream.want("id: e.0")
	b.check()
	w.settle()
	w.wantTry(t, "200", "POST", "/data/k", `{"value":1}`)
	crowded.Store(true)
	w.wantTry(t, "503 limit_reached", "GET", "/ws", "", asWebSocket...)
	w.wantTry(t, "503 limit_reached", "GET", "/events?key=k", "")
	w.wantTry(t, "429 limit_reached", "POST", "/data/new", `{"value":1}`)
	b.wantCode(`{"id":1,"action":"set","key":"new","value":1}`, "limit_reached")
	w.wantTry(t, "200", "POST", "/data/k", `{"value":2}`)
	w.wantTry(t, "200", "GET", "/data/k", "")
	stream.want(`id: e.2|data: {"key":"k","value":1}`, `id: e.3|data: {"key":"k","value":2}`)
	b.check()
	crowded.Store(false)
	w.wantTry(t, "200", "POST", "/data/new", `{"value":1}`)
	w.dial(t).wantCode(`{"id":1,"action":"ping"}`, "")
}

// If memory is short, long messages and bodies are not read, because each would hold
// memory until its rest comes.
func TestLongMessagesAreNotReadIfMemoryIsShort(t *testing.T) {
	var crowded atomic.Bool
	w := newWireOn(t, keyspace.Options{Full: crowded.Load}, transport.Options{Crowded: crowded.Load})
	b := newBystander(w, w.dial(t))
	b.check()
	const n, size = 50, 1 << 20
	conns := make([]net.Conn, 2*n)
	for i := range n {
		conns[2*i], conns[2*i+1] = w.dial(t).NetConn(), must(net.Dial("tcp", w.addr))
		_, _ = io.WriteString(conns[2*i], "\x81\xff\x00\x00\x00\x00\x00\x10\x00\x01\x00\x00\x00\x00")
		_, _ = fmt.Fprintf(conns[2*i+1], "POST /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size+1)
	}
	inUse := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapInuse >> 20)
	}
	crowded.Store(true)
	before := inUse()
	for _, c := range conns {
		_, _ = c.Write(make([]byte, size)) // it fails if the server has closed the connection
	}
	b.check()
	if grown := inUse() - before; grown > 32 {
		t.Errorf("%d messages and bodies that are not complete take %d MiB", 2*n, grown)
	}
	for _, c := range conns {
		_ = c.Close()
	}
}
