package guard_test

import (
	"net"
	"net/http"
	"net/netip"
	"testing"

	"rtdb/transport/guard"
)

func TestRemoteAddr(t *testing.T) {
	trusted := guard.Proxies{Networks: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("2001:db8:1::/48"),
		netip.MustParsePrefix("fe80::/10"),
	}}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                      {"192.0.2.1:1234", nil, "192.0.2.1:1234"},
		"no proxy, a forged header":     {"192.0.2.1:1234", []string{"198.51.100.1"}, "192.0.2.1:1234"},
		"a proxy without the header":    {"10.0.0.1:1234", nil, "10.0.0.1:1234"},
		"a proxy":                       {"10.0.0.1:1234", []string{"192.0.2.1"}, "192.0.2.1"},
		"a proxy by IPv4 in IPv6":       {"[::ffff:10.0.0.1]:1234", []string{"192.0.2.1"}, "192.0.2.1"},
		"a proxy by IPv6":               {"[2001:db8:1::1]:1234", []string{"2001:db8:2::1"}, "2001:db8:2::1"},
		"a proxy with a zone":           {"[fe80::1%eth0]:1234", []string{"192.0.2.1"}, "192.0.2.1"},
		"two proxies":                   {"10.0.0.1:1234", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		"two headers":                   {"10.0.0.1:1234", []string{"192.0.2.1", "10.0.0.2"}, "192.0.2.1"},
		"forged addresses before":       {"10.0.0.1:1234", []string{"198.51.100.1, 10.0.0.3, 192.0.2.1"}, "192.0.2.1"},
		"only proxies":                  {"10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"a port":                        {"10.0.0.1:1234", []string{"192.0.2.1:5678"}, "192.0.2.1"},
		"a port, IPv6":                  {"10.0.0.1:1234", []string{"[2001:db8:2::1]:5678"}, "2001:db8:2::1"},
		"brackets":                      {"10.0.0.1:1234", []string{"[2001:db8:2::1]"}, "2001:db8:2::1"},
		"IPv4 in IPv6":                  {"10.0.0.1:1234", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		"not an address":                {"10.0.0.1:1234", []string{"unknown"}, "10.0.0.1:1234"},
		"not an address before a proxy": {"10.0.0.1:1234", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		"empty":                         {"10.0.0.1:1234", []string{""}, "10.0.0.1:1234"},
		"not TCP":                       {"@", []string{"192.0.2.1"}, "@"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := trusted.RemoteAddr(r); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got := (guard.Proxies{}).RemoteAddr(r); got != c.peer {
			t.Errorf("%s, no trusted proxy: %q, want %q", name, got, c.peer)
		}
	}
}

// A peer on a Unix socket is "unix", whatever address it has given itself. Its header
// counts only if such peers are trusted.
func TestRemoteAddrOnAUnixSocket(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		trusted   guard.Proxies
		forwarded string
		want      string
	}{
		{guard.Proxies{}, "192.0.2.1", "unix"},
		{guard.Proxies{Networks: networks}, "192.0.2.1", "unix"},
		{guard.Proxies{Unix: true}, "192.0.2.1", "192.0.2.1"},
		{guard.Proxies{Unix: true}, "198.51.100.1, 192.0.2.1", "192.0.2.1"},
		{guard.Proxies{Unix: true}, "", "unix"},
		{guard.Proxies{Unix: true}, "unknown", "unix"},
		{guard.Proxies{Unix: true, Networks: networks}, "192.0.2.1, 10.0.0.2", "192.0.2.1"},
	} {
		for _, peer := range []string{"", "@", "10.0.0.1:1234"} {
			r := requestTo(&net.UnixAddr{Name: "/run/rtdb.sock", Net: "unix"}, "db.example.com")
			r.RemoteAddr = peer
			r.Header.Set("X-Forwarded-For", c.forwarded)
			if got := c.trusted.RemoteAddr(r); got != c.want {
				t.Errorf("peer %q, %q, %+v: %q, want %q", peer, c.forwarded, c.trusted, got, c.want)
			}
		}
	}
}

func TestHousehold(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.1:1234": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "[::ffff:192.0.2.1]:1": "192.0.2.1",
		"2001:db8::1": "2001:db8::/64", "[2001:db8::1]:1234": "2001:db8::/64", "2001:db8::ffff:1": "2001:db8::/64",
		"2001:db8:0:1::1": "2001:db8:0:1::/64", "[fe80::1%eth0]:1234": "fe80::/64",
		"": "", "@": "@", "host:80": "host:80",
	} {
		if got := guard.Household(remote); got != want {
			t.Errorf("Household(%q) = %q, want %q", remote, got, want)
		}
	}
}
