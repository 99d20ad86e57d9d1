package guard

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// UnixRemote is the remote address of every peer that is connected by a Unix socket. Such
// a peer has no address, or one of its own choice.
const UnixRemote = "unix"

// Proxies are the peers whose X-Forwarded-For header is trusted. The zero value trusts
// none.
type Proxies struct {
	Networks []netip.Prefix
	Unix     bool // all peers that are connected by a Unix socket
}

// RemoteAddr returns the address that a request comes from: that of the peer or, if
// the peer is a trusted proxy, the one that the proxy names in X-Forwarded-For. If
// several proxies stand in a row, it is the last address in the header that is not
// a trusted proxy's, because anyone may have written the addresses before it. Whether the
// peer is connected by a Unix socket is known by [ListenerContext].
func (p Proxies) RemoteAddr(r *http.Request) string {
	if kindOf(r) == unixListener {
		if !p.Unix {
			return UnixRemote
		}
		return p.forwarded(r, UnixRemote)
	}
	if len(p.Networks) == 0 {
		return r.RemoteAddr
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !contains(p.Networks, peer.Addr()) {
		return r.RemoteAddr
	}
	return p.forwarded(r, r.RemoteAddr)
}

// forwarded returns the address that a trusted proxy names, or the proxy's own.
func (p Proxies) forwarded(r *http.Request, proxy string) string {
	remote := proxy
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		remote = addr.String()
		if !contains(p.Networks, addr) {
			break
		}
	}
	return remote
}

// parseHop reads an address, with or without a port.
func parseHop(hop string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Household returns the part of a remote address that stands for one client: an
// IPv4 address without its port, or the /64 network of an IPv6 address, because a
// household has as many addresses of its network as it likes.
func Household(remote string) string {
	addr, ok := parseHop(remote)
	switch {
	case !ok:
		return remote
	case addr.Is6():
		network, err := addr.Prefix(64)
		if err != nil {
			return remote
		}
		return network.String()
	}
	return addr.String()
}
