package transport_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
)

// fill writes n values of 1 KB.
func (w *wire) fill(t *testing.T, n int) {
	t.Helper()
	value := []byte(quote(strings.Repeat("x", 1000)))
	for i := range n {
		if _, err := w.keyspace.Set(t.Context(), fmt.Sprintf("k/%05d", i), value); err != nil {
			t.Fatal(err)
		}
	}
}

// dialSlow opens a WebSocket, with or without TLS, of a client that reads so many
// kilobytes a second at most, through a small receive buffer.
func (w *wire) dialSlow(t *testing.T, secure bool, kilobytes int) *peer {
	t.Helper()
	address, scheme, pause := w.addr, "ws", 4*time.Second/time.Duration(kilobytes)
	if secure {
		address, scheme = w.listen(t, w.Serve, true).Addr().String(), "wss"
		pause /= 2 // a record takes two reads
	}
	d := websocket.Dialer{TLSClientConfig: clientTLS, NetDial: func(network, _ string) (net.Conn, error) {
		// A buffer that is set before the handshake is small from the first byte on.
		small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10)
			})
		}}
		return slowReader{must(small.Dial(network, address)), 4 << 10, pause}, nil
	}}
	c, _, err := d.Dial(scheme+"://"+address+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &peer{c, t}
}

// A pinging sends pings, and measures how long their pongs take.
type pinging struct {
	p    *peer
	stop func()

	mu    sync.Mutex
	sent  []time.Time // by number
	next  int         // the first that has no pong
	worst time.Duration
}

// startPinging pings the server every 200 ms from now on. The caller reads messages.
func startPinging(p *peer) *pinging {
	x := &pinging{p: p}
	p.SetPongHandler(func(data string) error {
		var n int
		if _, err := fmt.Sscan(data, &n); err != nil {
			return err
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		for ; x.next <= n; x.next++ { // a pong answers for the pings before it
			x.worst = max(x.worst, time.Since(x.sent[x.next]))
		}
		return nil
	})
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			x.mu.Lock()
			n := len(x.sent)
			x.sent = append(x.sent, time.Now())
			x.mu.Unlock()
			if err := p.WriteControl(websocket.PingMessage, fmt.Append(nil, n), time.Now().Add(patience)); err != nil {
				p.t.Errorf("ping %d: %v", n, err)
				return
			}
		}
	})
	x.stop = sync.OnceFunc(func() {
		close(done)
		sender.Wait()
	})
	return x
}

// check ends the pinging and expects that each pong came within limit.
func (x *pinging) check(limit time.Duration) {
	x.p.t.Helper()
	x.stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, at := range x.sent[x.next:] {
		x.worst = max(x.worst, time.Since(at))
	}
	x.p.t.Logf("%d pings, %d pongs missing, the slowest took %v", len(x.sent), len(x.sent)-x.next, x.worst)
	if len(x.sent) < 5 || x.worst > limit {
		x.p.t.Errorf("of %d pings, a pong took %v, want %v at most", len(x.sent), x.worst, limit)
	}
}

// A client that is slow to read gets its pongs in time, whatever it is being sent. Its
// requests still take effect, and are answered, in the order sent.
func TestPongsDoNotWaitBehindData(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	t.Parallel()
	const limit = 3 * time.Second
	var cases sync.WaitGroup
	defer cases.Wait()
	for _, secure := range []bool{false, true} {
		for name, test := range map[string]struct {
			kilobytes int
			run       func(w *wire, p *peer)
		}{
			"a snapshot": {200, func(w *wire, p *peer) {
				p.send(`{"action":"subscribe","pattern":"k/#","snapshot":true,"id":"all"}`)
				for i := range 100 { // they wait behind the snapshot
					p.send(fmt.Sprintf(`{"action":"set","key":"own","value":%d}`, i))
					p.send(fmt.Sprintf(`{"action":"get","key":"own","id":%d}`, i))
				}
				p.send(`{"action":"ping","id":"end"}`)
				keys := 0
				for text := p.receive(); !strings.HasPrefix(text, `{"id":"all","ok":true,`); text = p.receive() {
					if !strings.HasPrefix(text, `{"key":"k/`) {
						p.t.Fatalf("%.80s came before the end of the snapshot", text)
					}
					keys++
				}
				if keys != slowKeys {
					p.t.Errorf("%d keys came, want %d", keys, slowKeys)
				}
				for i := range 100 {
					if got, want := p.receive(), fmt.Sprintf(`{"id":%d,"ok":true,"key":"own","value":%d,`, i, i); !strings.HasPrefix(got, want) {
						p.t.Fatalf("received %s, want %s", got, want)
					}
				}
				p.want(`{"id":"end","ok":true,"action":"pong"}`)
			}},
			"replies": {200, func(w *wire, p *peer) {
				const gets = 60
				if _, err := w.keyspace.Set(p.t.Context(), "long", []byte(quote(strings.Repeat("x", 25_000)))); err != nil {
					p.t.Fatal(err)
				}
				for i := range gets {
					p.send(fmt.Sprintf(`{"action":"get","key":"long","id":%d}`, i))
				}
				for i := range gets {
					if got := p.receive(); !strings.HasPrefix(got, fmt.Sprintf(`{"id":%d,"ok":true,`, i)) {
						p.t.Fatalf("answer %d is %.60s", i, got)
					}
				}
			}},
			"live updates": {40, func(w *wire, p *peer) {
				p.ask(`{"action":"subscribe","pattern":"live/#","id":1}`, fmt.Sprintf(`{"id":1,"ok":true,"revision":%d,"epoch":"e"}`, slowKeys))
				done := make(chan struct{})
				var writer sync.WaitGroup
				defer writer.Wait()
				defer close(done)
				writer.Go(func() {
					value := []byte(quote(strings.Repeat("x", 1000)))
					ticker := time.NewTicker(2 * time.Millisecond)
					defer ticker.Stop()
					for i := 0; ; i++ {
						select {
						case <-done:
							return
						case <-ticker.C: // 1 MB/s
						}
						for n := range 2 {
							if _, err := w.keyspace.Set(p.t.Context(), fmt.Sprint("live/", (2*i+n)%100), value); err != nil {
								p.t.Error(err)
								return
							}
						}
					}
				})
				// For longer than TCP_USER_TIMEOUT would let it: see socket/silence.go.
				for start := time.Now(); time.Since(start) < 16*time.Second; {
					p.receive()
				}
			}},
		} {
			cases.Go(func() { // all at the same time, because each takes long
				t.Run(fmt.Sprint(name, ", TLS ", secure), func(t *testing.T) {
					w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
					w.fill(t, slowKeys)
					p := w.dialSlow(t, secure, test.kilobytes)
					x := startPinging(p)
					defer x.stop()
					test.run(w, p)
					x.check(limit)
				})
			})
		}
	}
}

// slowKeys are how many values of 1 KB a snapshot has. The session lets 512 KiB of it wait.
const slowKeys = 1500

// A client that closes in the middle of a snapshot is answered at once, and its session
// ends. The requests that it sent before still take effect.
func TestACloseInTheMiddleOfASnapshot(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			w := newWire(t, transport.Options{})
			w.fill(t, slowKeys)
			p := w.dialSlow(t, secure, 200)
			p.send(`{"action":"will","key":"will","value":1}`)
			p.send(`{"action":"subscribe","pattern":"k/#","snapshot":true,"id":1}`)
			p.receive()
			p.send(`{"action":"set","key":"own","value":1,"id":2}`)
			start := time.Now()
			if err := p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")); err != nil {
				t.Fatal(err)
			}
			p.wantClose(1000)
			answered := time.Since(start)
			e := w.log.await(t, "session closed", 1)[0]
			t.Logf("answered after %v, ended after %v", answered, time.Since(start))
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("the session ended %v after the close frame", took)
			}
			if e["code"] != 1000.0 || e["received"] != 3.0 {
				t.Errorf("logged %v", e)
			}
			w.want(t, "GET", "/data/own", "", http.StatusOK, "1")
			w.want(t, "GET", "/data/will", "", http.StatusNotFound, "not_found")
		})
	}
}

// A client that is gone in the middle of a snapshot is noticed at once. The requests that
// were read before still take effect.
func TestAClientThatIsGoneInTheMiddleOfASnapshot(t *testing.T) {
	const keys = 5 * slowKeys
	w := newWire(t, transport.Options{})
	w.fill(t, keys)
	p := w.dialSlow(t, false, 1000) // the whole snapshot would take 8 s
	p.send(`{"action":"subscribe","pattern":"k/#","snapshot":true,"id":1}`)
	p.send(`{"action":"set","key":"own","value":1}`)
	ponged := false
	p.SetPongHandler(func(string) error { ponged = true; return nil })
	if err := p.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	received := 0
	for ; !ponged; received++ { // the pong says that the server has read the requests
		p.receive()
	}
	if received > keys/2 {
		t.Errorf("the pong came after %d messages, want it in the middle of %d", received, keys)
	}
	_ = p.NetConn().(slowReader).Conn.(*net.TCPConn).SetLinger(0) // Close sends a reset
	start := time.Now()
	_ = p.Close()
	e := w.log.await(t, "session closed", 1)[0]
	if took := time.Since(start); took > time.Second || e["code"] != 1006.0 {
		t.Errorf("after %v logged %v", took, e)
	}
	w.want(t, "GET", "/data/own", "", http.StatusOK, "1")
}

// An event stream whose client is gone in the middle of a snapshot ends at once.
func TestAnEventStreamThatIsGoneInTheMiddleOfASnapshot(t *testing.T) {
	for _, reset := range []bool{false, true} {
		w := newWire(t, transport.Options{})
		w.fill(t, 8*slowKeys) // more than the kernel keeps
		c := must(net.Dial("tcp", w.addr)).(*net.TCPConn)
		_ = c.SetReadBuffer(16 << 10)
		if _, err := io.WriteString(c, "GET /events?pattern=k/%23&snapshot=true HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		if reset {
			_ = c.SetLinger(0)
		}
		start := time.Now()
		_ = c.Close()
		e := w.log.await(t, "session closed", 1)[0]
		if took := time.Since(start); took > time.Second || e["code"] != 1006.0 {
			t.Errorf("reset %v: after %v logged %v", reset, took, e)
		}
	}
}
