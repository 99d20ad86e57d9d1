package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/rs/zerolog"

	"rtdb/transport"
	"rtdb/transport/auth"
	"rtdb/transport/guard"
)

// An accessConfig says who may do what, and from where.
type accessConfig struct {
	JWTSecret        string `name:"jwt-secret" env:"JWT_SECRET" placeholder:"SECRET" help:"Secret that tokens are signed with (HS256), 32 bytes at least. Without a key everybody may do everything."`
	JWTPublicKeyFile string `name:"jwt-public-key-file" env:"JWT_PUBLIC_KEY_FILE" placeholder:"FILE" help:"Public key that tokens are checked with, in PEM (RS256, ES256 or EdDSA by its kind)."`
	AnonymousGrants  string `env:"ANONYMOUS_GRANTS" placeholder:"JSON" help:"What may be done without a token, as in the claim rtdb: {\"read\":[\"public/#\"]}."`
	AllowedOrigins   string `env:"ALLOWED_ORIGINS" placeholder:"ORIGINS" help:"Origins of pages that may call besides the server's own, comma-separated: https://example.com."`
	TrustedProxies   string `env:"TRUSTED_PROXIES" placeholder:"CIDRS" help:"Addresses of proxies whose X-Forwarded-For counts, comma-separated: 10.0.0.0/8."`
	TLSCertFile      string `name:"tls-cert-file" env:"TLS_CERT_FILE" placeholder:"FILE" help:"Certificate and its chain, in PEM. A changed file is picked up."`
	TLSKeyFile       string `name:"tls-key-file" env:"TLS_KEY_FILE" placeholder:"FILE" help:"Its private key, in PEM."`
	AdminAddr        string `env:"ADMIN_ADDR" placeholder:"HOST:PORT" help:"Where the operator is answered without a token: metrics, sessions, profiles. Without it the main address does, to tokens that grant admin."`
}

// An access is what an accessConfig comes to.
type access struct {
	keys      *auth.Keys
	anonymous *auth.Grants
	origins   []string
	proxies   []netip.Prefix
}

func (c *accessConfig) read() (a access, err error) {
	if a.keys, err = c.keys(); err != nil {
		return a, err
	}
	if c.AnonymousGrants != "" {
		grants, err := auth.ParseGrants([]byte(c.AnonymousGrants))
		switch {
		case err != nil:
			return a, fmt.Errorf("--anonymous-grants ($ANONYMOUS_GRANTS): %w", err)
		case a.keys == nil:
			return a, fmt.Errorf("--anonymous-grants ($ANONYMOUS_GRANTS): without --jwt-secret or --jwt-public-key-file everybody may do everything")
		}
		a.anonymous = &grants
	}
	for _, text := range list(c.AllowedOrigins) {
		origin, err := guard.ParseOrigin(text)
		if err != nil {
			return a, fmt.Errorf("--allowed-origins ($ALLOWED_ORIGINS): %w", err)
		}
		a.origins = append(a.origins, origin)
	}
	for _, text := range list(c.TrustedProxies) {
		prefix, err := parsePrefix(text)
		if err != nil {
			return a, fmt.Errorf("--trusted-proxies ($TRUSTED_PROXIES): expected addresses like 10.0.0.0/8 but got %q", text)
		}
		a.proxies = append(a.proxies, prefix)
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		return a, fmt.Errorf("--tls-cert-file ($TLS_CERT_FILE) and --tls-key-file ($TLS_KEY_FILE) go together")
	}
	if c.AdminAddr != "" {
		if _, _, err := net.SplitHostPort(c.AdminAddr); err != nil {
			return a, fmt.Errorf("--admin-addr ($ADMIN_ADDR): expected one like localhost:9090 but got %q", c.AdminAddr)
		}
	}
	return a, nil
}

func (c *accessConfig) keys() (*auth.Keys, error) {
	switch {
	case c.JWTSecret != "" && c.JWTPublicKeyFile != "":
		return nil, fmt.Errorf("--jwt-secret ($JWT_SECRET) and --jwt-public-key-file ($JWT_PUBLIC_KEY_FILE) exclude each other")
	case c.JWTSecret != "":
		keys, err := auth.SecretKeys(c.JWTSecret)
		if err != nil {
			return nil, fmt.Errorf("--jwt-secret ($JWT_SECRET): %w", err)
		}
		return keys, nil
	case c.JWTPublicKeyFile != "":
		text, err := os.ReadFile(c.JWTPublicKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--jwt-public-key-file ($JWT_PUBLIC_KEY_FILE): %w", err)
		}
		keys, err := auth.PublicKeys(text)
		if err != nil {
			return nil, fmt.Errorf("--jwt-public-key-file ($JWT_PUBLIC_KEY_FILE): %s: %w", c.JWTPublicKeyFile, err)
		}
		return keys, nil
	}
	return nil, nil
}

// list splits what is separated by commas, and leaves out what is empty.
func list(text string) (items []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// parsePrefix reads a network, or an address, which is a network of one.
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

// secured has connections be TLS where a certificate is configured.
func (c *accessConfig) secured(listeners []net.Listener, log zerolog.Logger) ([]net.Listener, error) {
	if c.TLSCertFile == "" {
		return listeners, nil
	}
	certificate, err := loadCertificate(c.TLSCertFile, c.TLSKeyFile, log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert-file ($TLS_CERT_FILE): %w", err)
	}
	var secure []net.Listener
	for _, l := range listeners {
		secure = append(secure, tls.NewListener(l, certificate.config()))
	}
	return secure, nil
}

// warnOpen says once that everybody who reaches the server may do everything, and
// that whoever reaches the operator's address is the operator.
func (a *access) warnOpen(log zerolog.Logger, listeners, admin []net.Listener) {
	if addr := public(listeners); a.keys == nil && addr != "" {
		log.Warn().Str("addr", addr).Msg("open to everybody: no key for tokens is configured")
	}
	if addr := public(admin); addr != "" {
		log.Warn().Str("addr", addr).Msg("the admin address asks for no token: nobody else must reach it")
	}
}

// public returns the first address that others than this machine may reach.
func public(listeners []net.Listener) string {
	for _, l := range listeners {
		if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
			return addr.String()
		}
	}
	return ""
}
