package transport_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// vanish makes a connection lose each segment that comes for it, so that it acknowledges
// nothing and hears of nothing. It waits until everything that the client has sent is
// acknowledged: after that the client sends nothing more, as if its machine had lost its
// power.
func vanish(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw := must(c.SyscallConn())
	transporttest.Eventually(t, "everything is acknowledged", func() bool {
		var left int
		var err error
		failed := raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		return failed == nil && err == nil && left == 0
	})
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	var err error
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	})
	if failed != nil || err != nil {
		t.Fatal(failed, err)
	}
}

// A vanishing is a client before it vanishes.
type vanishing struct {
	name    string
	kind    string // of the listener: plain, TLS or admin
	request string
	frames  string        // of a WebSocket
	first   time.Duration // from when on something is written to it
	session bool
}

const (
	// lateWrite is before the server has noticed that nothing comes any more.
	lateWrite = 19 * time.Second
	noWrite   = time.Hour
)

// vanishings returns all cases.
func vanishings() (all []vanishing) {
	const (
		head      = " HTTP/1.1\r\nHost: localhost\r\n"
		handshake = "GET /ws" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		stream   = "GET /events?pattern=%23" + head + "\r\n"
		snapshot = "GET /events?pattern=%23&snapshot=true" + head + "\r\n"
	)
	subscribe := string(clientFrame([]byte(`{"action":"subscribe","pattern":"#"}`)))
	load := string(clientFrame([]byte(`{"action":"subscribe","pattern":"#","snapshot":true}`)))
	for _, kind := range []string{"plain", "TLS"} {
		all = append(all,
			vanishing{"a WebSocket that is idle", kind, handshake, subscribe, noWrite, true},
			vanishing{"a WebSocket with updates", kind, handshake, subscribe, 0, true},
			vanishing{"a WebSocket with a late update", kind, handshake, subscribe, lateWrite, true},
			vanishing{"a WebSocket in a snapshot", kind, handshake, load, noWrite, true},
			vanishing{"an event stream that is idle", kind, stream, "", noWrite, true},
			vanishing{"an event stream with updates", kind, stream, "", 0, true},
			vanishing{"an event stream with a late update", kind, stream, "", lateWrite, true},
			vanishing{"an event stream in a snapshot", kind, snapshot, "", noWrite, true},
			vanishing{"a kept-alive connection", kind, "GET /healthz" + head + "\r\n", "", noWrite, false},
			vanishing{"responses that are not taken", kind, strings.Repeat("GET /data/0"+head+"\r\n", 300), "", noWrite, false},
			vanishing{"a request without an end", kind, "POST /data/k" + head + "Content-Length: 99\r\n\r\n{", "", noWrite, false},
			vanishing{"a connection without a request", kind, "", "", noWrite, false},
		)
	}
	return append(all,
		vanishing{"a kept-alive connection", "admin", "GET /metrics" + head + "\r\n", "", noWrite, false},
		vanishing{"responses that are not taken", "admin", strings.Repeat("GET /metrics"+head+"\r\n", 300), "", noWrite, false},
		vanishing{"a connection without a request", "admin", "", "", noWrite, false},
	)
}

// A vanished is a client that has vanished.
type vanished struct {
	vanishing
	w     *wire
	l     *trackedListener
	since time.Time
	next  time.Time // when something is written to it
}

// begin connects a client, waits until the server serves it, and makes it vanish.
func (x vanishing) begin(t *testing.T) *vanished {
	w := newWire(t, transport.Options{MaxSessions: 1, Admin: x.kind == "admin", IdleTimeout: time.Hour, HeaderTimeout: time.Hour})
	for i := range 60 {
		if _, err := w.keyspace.Set(t.Context(), fmt.Sprint(i), []byte(quote(strings.Repeat("x", 60_000)))); err != nil {
			t.Fatal(err)
		}
	}
	serve := w.Serve
	if x.kind == "admin" {
		serve = w.ServeAdmin
	}
	l := w.listen(t, serve, x.kind == "TLS")
	tcp := must(net.Dial("tcp", l.Addr().String())).(*net.TCPConn)
	t.Cleanup(func() { _ = tcp.Close() })
	_ = tcp.SetReadBuffer(4 << 10)
	var c net.Conn = tcp
	if x.kind == "TLS" {
		c = tls.Client(tcp, clientTLS)
	}
	if _, err := io.WriteString(c, x.request); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(x.request, "GET") {
		for r, line := bufio.NewReaderSize(c, 16), ""; line != "\r\n"; { // the head of the response
			line = must(r.ReadString('\n'))
		}
	}
	if _, err := io.WriteString(c, x.frames); err != nil {
		t.Fatal(err)
	}
	transporttest.Eventually(t, "accepted", func() bool { return l.open() == 1 })
	if x.session {
		transporttest.Eventually(t, "subscribed", func() bool {
			_, sessions := w.call(t, "GET", "/sessions", "")
			return strings.Contains(sessions, `"subscriptions":1`)
		})
	}
	vanish(t, tcp)
	now := time.Now()
	return &vanished{x, w, l, now, now.Add(x.first)}
}

// gone reports whether the server has ended the client. It fails if the client is still
// there after 30 s.
func (v *vanished) gone(t *testing.T) bool {
	took := time.Since(v.since)
	if v.l.open() > 0 || v.w.Sessions() > 0 {
		if took > 30*time.Second {
			t.Errorf("%s, %s: still there after %v: %d connections, %d sessions", v.kind, v.name, took, v.l.open(), v.w.Sessions())
			return true
		}
		if time.Now().After(v.next) {
			v.next = time.Now().Add(time.Second)
			if _, err := v.w.keyspace.Set(t.Context(), "new", []byte("1")); err != nil {
				t.Fatal(err)
			}
		}
		return false
	}
	if !v.session {
		t.Logf("%s, %s: gone after %v", v.kind, v.name, took)
		return true
	}
	e := v.w.log.await(t, "session closed", 1)[0]
	t.Logf("%s, %s: gone after %v, %v, %v", v.kind, v.name, took, e["code"], e["reason"])
	if reason := e["reason"]; reason != "connection lost" && reason != "too slow" {
		t.Errorf("%s, %s: logged %v", v.kind, v.name, e)
	}
	_ = v.w.dial(t).Close() // its place is free
	return true
}

// A client whose machine vanishes is gone within 30 s, on each kind of connection and
// whatever is written to it meanwhile, and its place is free again.
func TestAVanishedClientIsGoneWithin30Seconds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 s")
	}
	t.Parallel()
	var left []*vanished // all at the same time, because each takes long
	for _, x := range vanishings() {
		left = append(left, x.begin(t))
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for len(left) > 0 {
		<-look.C
		left = slices.DeleteFunc(left, func(v *vanished) bool { return v.gone(t) })
	}
}
