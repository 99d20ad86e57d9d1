package transport

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// remoteOf returns who a request is from: whoever has connected or, where that is
// a proxy that is trusted, who it says that it is for. Of a row of proxies the
// first counts, from our end, that is not trusted: what stands before it anybody
// may have written.
func remoteOf(r *http.Request, trusted []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !contains(trusted, peer.Addr()) {
		return r.RemoteAddr
	}
	remote := r.RemoteAddr
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		remote = addr.String()
		if !contains(trusted, addr) {
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

// hostOf is a remote without its port, and of IPv6 the network that a household
// has for itself: it has as many addresses as it likes.
func hostOf(remote string) string {
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
