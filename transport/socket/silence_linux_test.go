package socket

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	foreign "github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
)

// option returns an option of the TCP connection below c.
func option(t *testing.T, c net.Conn, number int) (value int) {
	t.Helper()
	raw, err := tcpConn(c).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if failed := raw.Control(func(fd uintptr) {
		value, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, number)
	}); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	return value
}

// A WebSocket's connection has its limits in the kernel, with and without TLS, and in
// servers that are not the transport's.
func TestAcceptSetsTheKernelsLimits(t *testing.T) {
	for _, secure := range []bool{false, true} {
		conns := make(chan *Conn, 1)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := new(Conn)
			if err := c.Accept(w, r, Options{Readers: new(Readers)}); err != nil {
				t.Error(err)
			}
			conns <- c
		}))
		start := server.Start
		if secure {
			start = server.StartTLS
		}
		start()
		dialer := foreign.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		client, _, err := dialer.Dial(strings.Replace(server.URL, "http", "ws", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		c := <-conns
		for name, x := range map[string]struct{ number, want int }{
			"TCP_KEEPIDLE":      {unix.TCP_KEEPIDLE, 10},
			"TCP_KEEPINTVL":     {unix.TCP_KEEPINTVL, 4},
			"TCP_NOTSENT_LOWAT": {unix.TCP_NOTSENT_LOWAT, maxUnsent},
		} {
			if got := option(t, c.wire.Conn, x.number); got != x.want {
				t.Errorf("TLS %v: %s is %d, want %d", secure, name, got, x.want)
			}
		}
		if c.CanTry() == secure {
			t.Errorf("TLS %v: CanTry is %v", secure, c.CanTry())
		}
		_ = client.Close()
		c.Release()
		server.Close()
	}
}

// The connections of a listener inherit the keep-alive, so that Links need not set it.
func TestListenConfigSetsTheKeepAlive(t *testing.T) {
	settings := ListenConfig()
	listener, err := settings.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !isProbed(c.(*net.TCPConn)) || isProbed(client.(*net.TCPConn)) {
		t.Error("the accepted connection is not told from others")
	}
	for number, want := range map[int]int{unix.TCP_KEEPIDLE: 10, unix.TCP_KEEPINTVL: 4, unix.TCP_KEEPCNT: 3, unix.TCP_NODELAY: 1} {
		if got := option(t, c, number); got != want {
			t.Errorf("option %d is %d, want %d", number, got, want)
		}
	}
}

// A connection that is not TCP is not watched.
func TestLinksIgnoreOtherConnections(t *testing.T) {
	a, b := net.Pipe()
	var l Links
	l.Add(a)
	l.Add(nil)
	LimitSendBuffer(b, 1)
	if len(l.conns) != 0 || l.timer != nil {
		t.Error("a pipe is watched")
	}
	_, _ = a.Close(), b.Close()
}

// A connection that is closed is forgotten.
func TestLinksForgetClosedConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var l Links
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l.Add(c)
		conns = append(conns, c)
	}
	_ = conns[1].Close()
	l.scan()
	if len(l.conns) != 2 || l.conns[0] != conns[0] || l.conns[1] != conns[2] {
		t.Errorf("%d connections are left, want the open ones", len(l.conns))
	}
	_, _ = conns[0].Close(), conns[2].Close()
	l.scan()
	if len(l.conns) != 0 {
		t.Errorf("%d connections are left, want none", len(l.conns))
	}
	l.timer.Stop()
}

// BenchmarkLook is the cost of one look at a connection.
func BenchmarkLook(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var k look
	b.ReportAllocs()
	for b.Loop() {
		if !k.watchable(c.(*net.TCPConn)) {
			b.Fatal("the connection is not there")
		}
	}
}
