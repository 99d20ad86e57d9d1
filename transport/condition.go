package transport

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"rtdb/keyspace"
)

// etag is the entity-tag of a version (RFC 9110, section 8.8.3).
func etag(version uint64) string {
	var text [len(`"18446744073709551615"`)]byte
	return string(append(strconv.AppendUint(append(text[:0], '"'), version, 10), '"'))
}

// setETag sets the version that a response is about.
func (w *response) setETag(version uint64) {
	w.etag[0] = etag(version)
	w.Header()["Etag"] = w.etag[:]
}

// A tagList is the value of If-Match or If-None-Match (RFC 9110, section 13.1).
type tagList struct {
	present bool
	any     bool     // "*"
	tags    []string // as etag writes them
}

// parseTags reads a header, which may have several lines. The name is in canonical form.
func parseTags(h http.Header, name string) (l tagList, err error) {
	lines := h[name]
	if len(lines) == 0 {
		return l, nil
	}
	l.present = true
	malformed := refuse(codeInvalidRequest, `%s is malformed: it is "*", or a list of versions in double quotes`, name)
	joined := strings.Trim(strings.Join(lines, ","), " \t")
	if joined == "*" {
		l.any = true
		return l, nil
	}
	rest := strings.Trim(joined, ", \t") // a list may have empty elements
	for rest != "" {
		rest = strings.TrimPrefix(rest, "W/")
		if rest[:min(1, len(rest))] != `"` {
			return l, malformed
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return l, malformed
		}
		end += 2
		if strings.ContainsFunc(rest[1:end-1], func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return l, malformed
		}
		l.tags = append(l.tags, originalTag(rest[:end]))
		rest = strings.TrimLeft(rest[end:], " \t")
		if rest != "" && rest[0] != ',' {
			return l, malformed
		}
		rest = strings.TrimLeft(rest, ", \t")
	}
	if len(l.tags) == 0 {
		return l, malformed
	}
	return l, nil
}

// originalTag returns the entity-tag from which a proxy made a tag. A proxy that
// compresses a response makes its tag weak, or adds the name of the encoding: Apache
// and Caddy make "7-gzip" of "7", Jetty makes "7--gzip". A client of the proxy knows only
// that tag. It stands for the same version: a tag of this server names the state of a key
// and not the bytes of a response, and has only digits, so no other tag is taken for it.
// So If-Match takes such a tag, and a weak one, although RFC 9110, section 13.1.1, demands
// a strong comparison.
func originalTag(tag string) string {
	version, encoding, _ := strings.Cut(strings.Trim(tag, `"`), "-")
	switch strings.TrimPrefix(encoding, "-") {
	case "gzip", "deflate", "br", "zstd":
		return `"` + version + `"`
	}
	return tag
}

// A precondition is the If-Match and If-None-Match of a request.
type precondition struct {
	match, noneMatch tagList
}

// given reports whether the request has a condition.
func (p *precondition) given() bool { return p.match.present || p.noneMatch.present }

func parsePrecondition(r *http.Request) (p precondition, err error) {
	if p.match, err = parseTags(r.Header, "If-Match"); err != nil {
		return p, err
	}
	p.noneMatch, err = parseTags(r.Header, "If-None-Match")
	return p, err
}

// matches reports whether If-Match holds at a version; 0 means that there is no key.
func (p *precondition) matches(version uint64) bool {
	l := &p.match
	return !l.present || version != 0 && (l.any || slices.Contains(l.tags, etag(version)))
}

// matchesNone reports whether If-None-Match holds.
func (p *precondition) matchesNone(version uint64) bool {
	l := &p.noneMatch
	return !l.present || version == 0 || !l.any && !slices.Contains(l.tags, etag(version))
}

// withPreconditions adds the request's preconditions to a change.
func withPreconditions(c keyspace.Change, r *http.Request) (keyspace.Change, error) {
	p, err := parsePrecondition(r)
	if err != nil || !p.given() {
		return c, err
	}
	given := p // on the heap, and only if there is one
	c.If = func(version uint64) bool { return given.matches(version) && given.matchesNone(version) }
	return c, nil
}
