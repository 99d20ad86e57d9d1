package guard_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rtdb/transport/guard"
)

// A fakeListener has an address and nothing else.
type fakeListener struct {
	net.Listener
	addr net.Addr
}

func (l fakeListener) Addr() net.Addr { return l.addr }

// requestTo returns a request with a Host header that came by a listener.
func requestTo(listener net.Addr, host string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = host
	return r.WithContext(guard.ListenerContext(fakeListener{addr: listener}))
}

func TestCheckHost(t *testing.T) {
	loopback := []net.Addr{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080},
		&net.TCPAddr{IP: net.IPv6loopback, Port: 8080},
	}
	others := []net.Addr{
		&net.TCPAddr{IP: net.IPv4zero, Port: 8080},
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8080},
		&net.UnixAddr{Name: "/run/rtdb.sock", Net: "unix"},
	}
	for host, ok := range map[string]bool{
		"": true, "localhost": true, "localhost:8080": true, "LOCALHOST:1": true, "localhost.": true, "a.localhost": true,
		"127.0.0.1": true, "127.1.2.3:8080": true, "[::1]": true, "[::1]:8080": true, "[::ffff:127.0.0.1]": true,
		"evil.example": false, "evil.example:8080": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"evillocalhost": false, "0.0.0.0": false, "2130706433": false, "127.1": false, "192.168.0.1": false, "[::]": false,
		"[fe80::1]": false, "127.0.0.1:80:80": false,
	} {
		for _, addr := range loopback {
			if err := guard.CheckHost(requestTo(addr, host)); (err == nil) != ok || err != nil && !errors.Is(err, guard.ErrHost) {
				t.Errorf("Host %q at %v: %v, want accepted %v", host, addr, err, ok)
			}
		}
		for _, addr := range others {
			if err := guard.CheckHost(requestTo(addr, host)); err != nil {
				t.Errorf("Host %q at %v: %v, want it accepted", host, addr, err)
			}
		}
	}
}

func TestCheckAdminHost(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4zero, Port: 9090}
	for host, ok := range map[string]bool{
		"": true, "localhost": true, "localhost:9090": true, "rtdb": true, "rtdb:9090": true, "rtdb.": true, "a.localhost": true,
		"10.0.0.7": true, "10.0.0.7:9090": true, "[2001:db8::1]": true, "[2001:db8::1]:9090": true,
		"evil.example": false, "evil.example:9090": false, "evil.example.": false, "10.0.0.7.evil.example": false, "127.1": false,
	} {
		if err := guard.CheckAdminHost(requestTo(addr, host)); (err == nil) != ok || err != nil && !errors.Is(err, guard.ErrAdminHost) {
			t.Errorf("Host %q: %v, want accepted %v", host, err, ok)
		}
	}
	socket := &net.UnixAddr{Name: "/run/admin.sock", Net: "unix"}
	if err := guard.CheckAdminHost(requestTo(socket, "db.example.com")); err != nil {
		t.Errorf("on a Unix socket: %v, want it accepted", err)
	}
}

// A refusal names the host in a form that is safe to print.
func TestARefusalNamesTheHost(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	for host, want := range map[string]string{
		"db.example.com:8443":        `"db.example.com:8443"`,
		"a.b\"\n\x9b":                `"a.b\"\n\x9b"`,
		strings.Repeat("a.", 40_000): `"` + strings.Repeat("a.", 32) + `"…`,
	} {
		for name, err := range map[string]error{
			"CheckHost": guard.CheckHost(requestTo(addr, host)), "CheckAdminHost": guard.CheckAdminHost(requestTo(addr, host)),
		} {
			var refused *guard.HostError
			if !errors.As(err, &refused) || refused.Host != want {
				t.Errorf("%s of %.60q: %v, want %s", name, host, err, want)
			}
		}
	}
}

// Pages of loopback names may call a loopback address if AllowLoopback was called, and
// only then.
func TestAllowLoopback(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	for _, c := range []struct {
		listener net.Addr
		origin   string
		may      bool
	}{
		{loopback, "http://localhost:5173", true},
		{loopback, "https://127.0.0.1:3000", true},
		{loopback, "http://[::1]:3000", true},
		{loopback, "http://app.localhost", true},
		{loopback, "http://192.168.0.1:3000", false},
		{loopback, "http://localhost.evil.example", false},
		{loopback, "capacitor://localhost", false},
		{loopback, "null", false},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 8080}, "http://localhost:5173", false},
		{&net.UnixAddr{Name: "/run/rtdb.sock", Net: "unix"}, "http://localhost:5173", false},
	} {
		for _, allow := range []bool{true, false} {
			origins := guard.NewOrigins(nil)
			if allow {
				origins.AllowLoopback()
			}
			r := requestTo(c.listener, "localhost:8080")
			r.Method = "POST"
			r.Header.Set("Origin", c.origin)
			r.Header.Set("Sec-Fetch-Site", "same-site")
			w := httptest.NewRecorder()
			may := allow && c.may
			if err := origins.Check(w, r, true); (err == nil) != may || (w.Header().Get("Access-Control-Allow-Origin") == c.origin) != may {
				t.Errorf("%s at %v, allowed %v: %v, %v", c.origin, c.listener, allow, err, w.Header())
			}
		}
	}
}
