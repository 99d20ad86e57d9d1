package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/rs/zerolog"

	"rtdb/transport/auth"
	"rtdb/transport/guard"
)

// accessFlags set the keys, the grants of anonymous clients, the allowed origins and the
// trusted proxies.
type accessFlags struct {
	keyFlags
	AnonymousGrants string `env:"ANONYMOUS_GRANTS" placeholder:"JSON" help:"Grants of clients without a token, such as {\"read\":[\"public/#\"]}."`
	AllowedOrigins  string `env:"ALLOWED_ORIGINS" placeholder:"ORIGIN,..." help:"Other origins whose pages may call, such as https://*.example.com."`
	TokenCookie     string `env:"TOKEN_COOKIE" placeholder:"NAME" help:"Cookie that may carry the token of a GET, a WebSocket or an event stream."`
	TrustedProxies  string `env:"TRUSTED_PROXIES" placeholder:"CIDR,..." help:"Proxies whose X-Forwarded-For is trusted, such as 10.0.0.0/8. unix is those on a Unix socket."`
}

// An access holds the parsed accessFlags and the keys that they name.
type access struct {
	keySources
	anonymous *auth.Grants // nil if a client without a token may do nothing
	origins   []string
	proxies   guard.Proxies
}

// read checks the flags and reads the keys.
func (f *accessFlags) read() (a access, err error) {
	if a.keySources, err = f.sources(); err != nil {
		return a, err
	}
	if f.TokenCookie != "" {
		switch err := (&http.Cookie{Name: f.TokenCookie, Value: "x"}).Valid(); {
		case err != nil:
			return a, fmt.Errorf("--token-cookie ($TOKEN_COOKIE): expected the name of a cookie but got %q", f.TokenCookie)
		case a.keys == nil:
			return a, errors.New("--token-cookie ($TOKEN_COOKIE): it needs a key: set --jwt-secret, --jwt-public-key-file or --jwks-url")
		}
	}
	if f.AnonymousGrants != "" {
		grants, err := auth.ParseGrants([]byte(f.AnonymousGrants))
		switch {
		case err != nil:
			return a, fmt.Errorf("--anonymous-grants ($ANONYMOUS_GRANTS): %w", err)
		case a.keys == nil:
			return a, fmt.Errorf("--anonymous-grants ($ANONYMOUS_GRANTS): it needs a key (--jwt-secret, --jwt-public-key-file or --jwks-url), because without a key every client may do everything")
		}
		a.anonymous = &grants
	}
	for _, text := range splitList(f.AllowedOrigins) {
		origin, err := guard.ParseOrigin(text)
		if err != nil {
			return a, fmt.Errorf("--allowed-origins ($ALLOWED_ORIGINS): %w", err)
		}
		a.origins = append(a.origins, origin)
	}
	for _, text := range splitList(f.TrustedProxies) {
		if strings.EqualFold(text, guard.UnixRemote) {
			a.proxies.Unix = true
			continue
		}
		prefix, err := parsePrefix(text)
		if err != nil {
			return a, fmt.Errorf("--trusted-proxies ($TRUSTED_PROXIES): expected addresses like 10.0.0.0/8, or unix, but got %q", text)
		}
		a.proxies.Networks = append(a.proxies.Networks, prefix)
	}
	return a, nil
}

// splitList returns the items of a comma-separated list, without the empty ones.
func splitList(text string) (items []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// parsePrefix reads a network in CIDR notation, or a single address.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), err
}

// warnIfOpen logs a warning if other machines can reach the server and no key is
// configured, and another if they can reach the admin address.
func (a *access) warnIfOpen(log zerolog.Logger, main, admin []net.Listener) {
	if addr := reachable(main); a.keys == nil && addr != "" {
		log.Warn().Str("addr", addr).Msg("no key is configured: every client may do everything")
	}
	if addr := reachable(admin); addr != "" {
		log.Warn().Str("addr", addr).Msg("the admin address asks for no token: let only operators reach it")
	}
}

// reachable returns the first address that is not a loopback address, or "".
func reachable(listeners []net.Listener) string {
	for _, l := range listeners {
		if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
			return addr.String()
		}
	}
	return ""
}
