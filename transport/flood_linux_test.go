package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// slowest is the longest response time that is not blamed on a flood. On an idle machine
// responses take less than 100 ms, as the log says, but tests may share the machine.
const slowest = time.Second

// measure begins to measure how fast other clients are answered and how the process
// grows. The caller calls end when the attackers have left. end reports whether responses
// were fast and the process grew by at most mayGrow MiB.
func (w *wire) measure(t *testing.T) (end func(mayGrow int, note string) bool) {
	client := &http.Client{Transport: &http.Transport{}}
	probe := func() time.Duration {
		start := time.Now()
		answer, err := client.Get("http://" + w.addr + "/healthz")
		if err != nil {
			t.Error(err)
			return time.Hour
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		return time.Since(start)
	}
	resident := func() (pages int) {
		_, err := fmt.Sscanf(string(must(os.ReadFile("/proc/self/statm"))), "%d %d", new(int), &pages)
		return must(pages, err) * os.Getpagesize() >> 20
	}
	probe()
	debug.FreeOSMemory()
	goroutines, sockets, before := runtime.NumGoroutine(), openSockets(), resident()
	var took []time.Duration
	most := before
	stop := make(chan struct{})
	var probing sync.WaitGroup
	stopProbing := sync.OnceFunc(func() {
		close(stop)
		probing.Wait()
		client.CloseIdleConnections()
	})
	t.Cleanup(stopProbing)
	probing.Go(func() {
		for {
			took, most = append(took, probe()), max(most, resident())
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return func(mayGrow int, note string) bool {
		stopProbing()
		wantAllGone(t, goroutines, sockets)
		slices.Sort(took)
		p99, grown := took[len(took)*99/100], most-before
		t.Logf("%s: /healthz p99 %v of %d, at most %v; %d MiB more, of %d",
			note, p99, len(took), took[len(took)-1], grown, mayGrow)
		return transporttest.UnderRace || p99 <= slowest && grown <= mayGrow
	}
}

// A flood takes little memory, does not delay other clients, and leaves no goroutine and
// no descriptor behind.
func TestFloods(t *testing.T) {
	// Else the garbage of the tests before and of the clients, which depends on the pace of the
	// collector, is more than the memory of the server.
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	short := transport.Options{HeaderTimeout: time.Second, MessageTimeout: 300 * time.Millisecond}
	for name, x := range map[string]struct {
		keys    int
		options transport.Options
		attack  func(t *testing.T, w *wire, b *bystander) (note string)
		mayGrow int // MiB; the clients are in the same process and need some
	}{
		"slow requests":  {0, short, slowRequests, 96},
		"a slow message": {0, short, slowMessage, 32},
		"empty frames":   {0, transport.Options{}, emptyFrames, 32},
		"long frames":    {0, short, longFrames, 32},
		"pings":          {0, transport.Options{}, pings, 32},
		"keys":           {1000, transport.Options{}, manyKeys, 48},
		"subscriptions":  {0, transport.Options{MaxSubscriptions: 1000}, manySubscriptions, 32},
		"connections":    {0, transport.Options{MaxSessions: 500}, manyConnections, 96},
	} {
		t.Run(name, func(t *testing.T) {
			for try := 1; ; try++ { // the machine may be busy with something else
				w := newWireOn(t, keyspace.Options{MaxKeys: x.keys}, x.options)
				b := newBystander(w, w.dial(t))
				b.check()
				end := w.measure(t)
				note := x.attack(t, w, b)
				b.check()
				transporttest.Eventually(t, "the attackers gone", func() bool { return w.Sessions() == 1 })
				if end(x.mayGrow, note) {
					return
				}
				if try == 3 {
					t.Fatal("other clients wait too long, or the flood takes too much memory")
				}
			}
		})
	}
}

// connect opens n connections and sends text on each.
func connect(t *testing.T, w *wire, n int, text string) (conns []net.Conn, hangUp func()) {
	for range n {
		c := must(net.Dial("tcp", w.addr))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns, func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

func slowRequests(t *testing.T, w *wire, b *bystander) string {
	heads, endHeads := connect(t, w, 500, "GET /healthz HTTP/1.1\r\nX: ")
	bodies, endBodies := connect(t, w, 500, "POST /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
	defer endHeads()
	defer endBodies()
	for start := time.Now(); time.Since(start) < 1300*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		for _, c := range slices.Concat(heads, bodies) {
			_, _ = io.WriteString(c, " ") // it fails if the server has closed the connection
		}
	}
	for _, c := range heads { // each was closed
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a header may take for ever")
		}
	}
	b.check()
	return "500 slow headers, all closed after 1 s, and 500 slow bodies"
}

func slowMessage(t *testing.T, w *wire, b *bystander) string {
	c := handshake(t, w.addr)
	defer c.Close()
	frame := clientFrame([]byte(`{"action":"set","key":"slow","value":"` + strings.Repeat("x", 1000) + `"}`))
	sent := 0
	for ; sent < len(frame) && (sent < 50 || w.Sessions() == 2); time.Sleep(5 * time.Millisecond) {
		_, _ = c.Write(frame[sent : sent+1])
		sent++
	}
	e := w.log.await(t, "session closed", 1)[0]
	if ms, _ := e["duration_ms"].(float64); e["code"] != 1008.0 || e["reason"] != "message took too long" || ms < 250 || ms > 2000 && !transporttest.UnderRace {
		t.Errorf("logged %v", e)
	}
	return fmt.Sprintf("a message byte by byte: closed with 1008 after %v ms, a close included, and %d bytes; the limit is 300 ms", e["duration_ms"], sent)
}

func emptyFrames(t *testing.T, w *wire, b *bystander) string {
	n, messages := 200_000, 20
	if transporttest.UnderRace {
		messages = 2
	}
	p := w.dial(t)
	start := time.Now()
	for range messages {
		rawWrite(p, "\x01\x81\x00\x00\x00\x00{"+strings.Repeat("\x00\x80\x00\x00\x00\x00", n))
		rawWrite(p, "\x80\x97\x00\x00\x00\x00"+`"id":1,"action":"ping"}`)
		p.want(`{"id":1,"ok":true,"action":"pong"}`)
	}
	_ = p.Close()
	return fmt.Sprintf("%d empty frames in each of %d messages: answered after %v each", n, messages, time.Since(start)/time.Duration(messages))
}

func longFrames(t *testing.T, w *wire, b *bystander) string {
	const n = 200
	for range n {
		for _, length := range []string{"\x7f\xff\xff\xff\xff\xff\xff\xff", "\x80\x00\x00\x00\x00\x00\x00\x00"} {
			c := handshake(t, w.addr)
			defer c.Close()
			_, _ = io.WriteString(c, "\x81\xff"+length+"\x00\x00\x00\x00{")
		}
	}
	b.check()
	transporttest.Eventually(t, "all closed", func() bool { return w.Sessions() == 1 })
	codes := make(map[any]int)
	for _, e := range w.log.await(t, "session closed", 2*n) {
		codes[e["code"]]++
	}
	if codes[1008.0] != n || codes[1002.0] != n {
		t.Errorf("closed with %v", codes)
	}
	return fmt.Sprintf("%d frames of 2^63-1 bytes and as many of -2^63: closed with %v", n, codes)
}

func pings(t *testing.T, w *wire, b *bystander) string {
	n := 100_000
	if transporttest.UnderRace { // a client that reads nothing for 10 s would be closed
		n = 10_000
	}
	p := w.dial(t)
	start := time.Now()
	for range n / 100 { // the client reads nothing meanwhile
		rawWrite(p, strings.Repeat("\x89\xfd\x00\x00\x00\x00"+strings.Repeat("x", 125), 100))
	}
	b.check()
	pongs := 0
	p.SetPongHandler(func(string) error { pongs++; return nil })
	p.ask(`{"id":1,"action":"ping"}`, `{"id":1,"ok":true,"action":"pong"}`)
	_ = p.Close()
	return fmt.Sprintf("%d pings in %v, %d pongs", n, time.Since(start), pongs)
}

// answers sends n requests without waiting and counts the codes of the replies.
func (p *peer) answers(n int, request func(i int) string) map[string]int {
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range n {
			p.send(request(i))
		}
	})
	defer sender.Wait()
	codes := make(map[string]int)
	for range n {
		codes[errorCode(p.t, p.receive())]++
	}
	return codes
}

func manyKeys(t *testing.T, w *wire, b *bystander) string {
	p := w.dial(t)
	codes := p.answers(20_000, func(i int) string {
		return fmt.Sprintf(`{"id":1,"action":"set","key":"%s%d","value":1}`, strings.Repeat("k", 100), i)
	})
	_ = p.Close()
	if codes[""] != 999 || codes["limit_reached"] != 19_001 || w.keyspace.Keys() != 1000 { // one key is the bystander's
		t.Errorf("answered with %v, and there are %d keys", codes, w.keyspace.Keys())
	}
	return fmt.Sprintf("20000 keys, 1000 may be: %v", codes)
}

func manySubscriptions(t *testing.T, w *wire, b *bystander) string {
	p := w.dial(t)
	codes := p.answers(1000, func(i int) string {
		names := make([]string, 100)
		for n := range names {
			names[n] = fmt.Sprintf(`"%s%d"`, strings.Repeat("s", 100), i*100+n)
		}
		return `{"id":1,"action":"subscribe","` + [2]string{"keys", "topics"}[i%2] + `":[` + strings.Join(names, ",") + `]}`
	})
	patterns := p.answers(2000, func(i int) string { return fmt.Sprintf(`{"id":1,"action":"subscribe","pattern":"s/%d/#"}`, i) })
	_ = p.Close()
	if codes[""] != 10 || codes["limit_reached"] != 990 || patterns["limit_reached"] != 2000 {
		t.Errorf("answered with %v, and of patterns with %v", codes, patterns)
	}
	return fmt.Sprintf("100000 subscriptions and 2000 patterns, 1000 may be: by the hundred %v, then %v", codes, patterns)
}

func manyConnections(t *testing.T, w *wire, b *bystander) string {
	conns, hangUp := connect(t, w, 2000, "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	defer hangUp()
	statuses := make(map[int]int)
	for _, c := range conns {
		statuses[must(http.ReadResponse(bufio.NewReader(c), nil)).StatusCode]++
	}
	if statuses[101] != 499 || statuses[503] != 1501 {
		t.Errorf("answered with %v", statuses)
	}
	b.check()
	return fmt.Sprintf("2000 connections, 500 may be: %v", statuses)
}
