package guard

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxOrigin is how long an origin may be. A host name has at most 253 bytes.
const maxOrigin = 512

// defaultPorts are the ports that an origin of the scheme has if it names none.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// An origin is the origin of a page in the form in which origins are compared (RFC
// 6454, section 5): scheme and host are in lower case, the host has no final dot, an IPv6
// address is in its shortest form, and a default port is left out. The origin "null"
// has that as its host, and no scheme.
type origin struct {
	scheme, host, port string
}

var nullOrigin = origin{host: "null"}

// String returns the origin as browsers write it.
func (o origin) String() string {
	switch {
	case o == nullOrigin:
		return o.host
	case o.port != "":
		return o.scheme + "://" + o.host + ":" + o.port
	}
	return o.scheme + "://" + o.host
}

// serves reports whether the request was sent to the origin itself. If TLS may end
// before this server, the scheme of the request is not known, so either is accepted, and
// the port that is left out is that of the page's scheme.
func (o origin) serves(r *http.Request) bool {
	if o.scheme != "https" && (o.scheme != "http" || r.TLS != nil) {
		return false
	}
	host, port, ok := splitHost(r.Host)
	if port == defaultPorts[o.scheme] {
		port = ""
	}
	return ok && host != "" && o == origin{o.scheme, host, port}
}

// isLoopback reports whether a server of this machine served the page.
func (o origin) isLoopback() bool {
	return (o.scheme == "http" || o.scheme == "https") && isLoopbackName(o.host)
}

// splitOrigin reads an origin that is ASCII, as browsers send it. Only schemes other
// than http and https may have an empty host, such as file://.
func splitOrigin(text string) (o origin, ok bool) {
	if text == nullOrigin.host {
		return nullOrigin, true
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || len(text) > maxOrigin || !isScheme(scheme) {
		return o, false
	}
	o.scheme = strings.ToLower(scheme)
	if o.host, o.port, ok = splitHost(rest); !ok {
		return o, false
	}
	ordinary := defaultPorts[o.scheme]
	if o.port == ordinary {
		o.port = ""
	}
	return o, o.host != "" || ordinary == ""
}

// splitHost reads a host with or without a port.
func splitHost(text string) (host, port string, ok bool) {
	host, port, _ = strings.Cut(text, ":")
	if strings.HasPrefix(text, "[") {
		inside, after, closed := strings.Cut(text[1:], "]")
		addr, err := netip.ParseAddr(inside)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" || after != "" && after[0] != ':' {
			return "", "", false
		}
		host, port = "["+addr.String()+"]", strings.TrimPrefix(after, ":")
	} else if strings.ContainsFunc(host, isNotOfHost) {
		return "", "", false
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", "", false
		}
		port = strconv.FormatUint(n, 10)
	}
	host = strings.ToLower(host)
	if len(host) > 1 { // "." is a host of some shells
		host = strings.TrimSuffix(host, ".")
	}
	return host, port, true
}

func isLetter(c rune) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isDigit(c rune) bool { return '0' <= c && c <= '9' }

// isNotOfHost reports whether a character is never in a host (RFC 3986, section 3.2.2),
// apart from some punctuation that no browser leaves there.
func isNotOfHost(c rune) bool {
	return !isLetter(c) && !isDigit(c) && !strings.ContainsRune("-._~%", c)
}

// isScheme follows RFC 3986, section 3.1.
func isScheme(text string) bool {
	for i, c := range text {
		if !isLetter(c) && (i == 0 || !isDigit(c) && !strings.ContainsRune("+-.", c)) {
			return false
		}
	}
	return text != ""
}

// areLabels reports whether text is one or more labels of a host name.
func areLabels(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool { return !isLetter(c) && !isDigit(c) && c != '-' && c != '_' }) {
			return false
		}
	}
	return true
}

// splitDomain reads https://*.example.com, which stands for all origins below
// https://example.com. It returns the latter.
func splitDomain(text string) (domain origin, ok bool) {
	scheme, rest, _ := strings.Cut(text, "://")
	name, ok := strings.CutPrefix(rest, "*.")
	if !ok {
		return domain, false
	}
	domain, ok = splitOrigin(scheme + "://" + name)
	return domain, ok && areLabels(domain.host)
}

// ParseOrigin reads an origin that an operator allows, and returns it in the form
// that NewOrigins takes: an origin of any scheme as browsers send it, such as
// https://app.example or capacitor://localhost; null and file://, which pages of
// files have; or https://*.example.com for all names below a domain, without the
// domain itself. The host may have letters that are not ASCII (RFC 5891).
func ParseOrigin(text string) (string, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	star := ""
	if after, ok := strings.CutPrefix(rest, "*."); ok {
		star, rest = "*.", after
	}
	host, port, hasPort := strings.Cut(rest, ":")
	switch {
	case text == "*", rest == "*":
		return "", errors.New("* would let the pages of every website call: " +
			"name the origins, such as https://app.example, or all below a domain, such as https://*.example.com")
	case strings.EqualFold(scheme, "ws"), strings.EqualFold(scheme, "wss"):
		return "", fmt.Errorf("a page has no origin of the scheme %s: write http or https in place of it in %q", scheme, text)
	case strings.ContainsAny(rest, "/?#"):
		return "", fmt.Errorf("an origin is a scheme, a host and a port, without a path: write %s in place of %q",
			scheme+"://"+star+rest[:strings.IndexAny(rest, "/?#")], text)
	case !isASCII(host):
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("the host of the origin %q is not valid: %w", text, err)
		}
		if rest = ascii; hasPort {
			rest += ":" + port
		}
		text = scheme + "://" + star + rest
	}
	if domain, ok := splitDomain(text); ok {
		return domain.scheme + "://*." + strings.TrimPrefix(domain.String(), domain.scheme+"://"), nil
	}
	if o, ok := splitOrigin(text); ok {
		return o.String(), nil
	}
	return "", fmt.Errorf("expected an origin like https://app.example, https://*.example.com, capacitor://localhost or null but got %q", text)
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// printable returns at most 64 bytes of a text that a client sent, quoted, so that they
// can stand in a message.
func printable(text string) string {
	const limit = 64
	if len(text) > limit {
		return strconv.QuoteToASCII(text[:limit]) + "…"
	}
	return strconv.QuoteToASCII(text)
}
