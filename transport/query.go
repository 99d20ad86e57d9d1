package transport

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"rtdb/keyspace"
	"rtdb/session"
)

// patternParameters are the query parameters that are patterns.
var patternParameters = []string{"pattern", "topicPattern"}

// parseQuery reads a query string as browsers write a form (WHATWG URL, section 5.1), in
// which "+" is a space. A level "+" of a pattern is the wildcard all the same, because
// people write it like that. A level that is one space is written as "%20".
func parseQuery(raw string) (url.Values, error) {
	if strings.Contains(raw, ";") { // some programs separate parameters by it, and others do not
		return nil, refuse(codeInvalidRequest, `the query has a ";": write it as %%3B, or as "&" between two parameters`)
	}
	parameters := strings.Split(raw, "&")
	for i, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		if decoded, err := url.QueryUnescape(name); err == nil && slices.Contains(patternParameters, decoded) {
			parameters[i] = name + "=" + encodeWildcards(value)
		}
	}
	query, err := url.ParseQuery(strings.Join(parameters, "&"))
	var escape url.EscapeError
	switch {
	case errors.As(err, &escape):
		return nil, refuse(codeInvalidRequest, "the query has %s, which is not an encoded character: write %% as %%25", quoted(string(escape)))
	case err != nil: // the only one left
		return nil, refuse(codeInvalidRequest, "the query has too many parameters")
	}
	return query, nil
}

var encodedSlashes = strings.NewReplacer("%2F", "/", "%2f", "/")

// encodeWildcards encodes each level "+" of an encoded pattern.
func encodeWildcards(pattern string) string {
	levels := strings.Split(encodedSlashes.Replace(pattern), "/")
	for i, level := range levels {
		if level == "+" {
			levels[i] = "%2B"
		}
	}
	return strings.Join(levels, "/")
}

// defaultPage is how many keys a page of a listing has if the request does not say.
const defaultPage = 100

// parseListing reads the query of a listing, whose pages have that many keys if it does
// not say otherwise.
func parseListing(query url.Values, page int) (q keyspace.Query, err error) {
	for _, p := range []struct {
		name  string
		value *string
	}{{"prefix", &q.Prefix}, {"pattern", &q.Pattern}, {"after", &q.After}} {
		if *p.value, err = single(query, p.name); err != nil {
			return q, err
		}
	}
	if query.Has("pattern") {
		if err := keyspace.CheckPattern(q.Pattern); err != nil {
			return q, refuse(codeInvalidName, "not a valid pattern: %s%s", reasonOf(err), hashHint(q.Pattern))
		}
	}
	if q.Reverse, err = parseBool(query, "reverse"); err != nil {
		return q, err
	}
	switch delimiter, err := single(query, "delimiter"); {
	case err != nil:
		return q, err
	case delimiter != "" && delimiter != "/":
		return q, refuse(codeInvalidRequest, "delimiter is not /, the only one that names have")
	default:
		q.Levels = delimiter != ""
	}
	q.Limit, err = parseLimit(query, page, maxItems)
	return q, err
}

// parseBool reads a parameter that is true or false. It is false if it does not come.
func parseBool(query url.Values, name string) (bool, error) {
	text, err := single(query, name)
	switch {
	case err != nil:
		return false, err
	case !query.Has(name), text == "false":
		return false, nil
	case text == "true":
		return true, nil
	}
	return false, refuse(codeInvalidRequest, "%s is neither true nor false", name)
}

// hashHint returns a hint if a pattern in a query, which is not valid, looks like the
// beginning of one that ended with #: a URL ends there (RFC 3986, section 3.5).
func hashHint(pattern string) string {
	if pattern == "" || strings.HasSuffix(pattern, "/") {
		return ": in a URL, write # as %23"
	}
	return ""
}

// parseLimit reads the parameter limit, a number from 1 to most.
func parseLimit(query url.Values, absent, most int) (int, error) {
	return parseNumber(query, "limit", absent, most)
}

// parseNumber reads a parameter that is a number from 1 to most.
func parseNumber(query url.Values, name string, absent, most int) (int, error) {
	text, err := single(query, name)
	if err != nil || !query.Has(name) {
		return absent, err
	}
	n, ok := parseDigits(text)
	if !ok || n < 1 || n > uint64(most) {
		return 0, refuse(codeInvalidRequest, "%s is not a number from 1 to %d", name, most)
	}
	return int(n), nil
}

// single returns the value of a parameter that may come once, "" if it does not come.
func single(query url.Values, name string) (string, error) {
	values := query[name]
	if len(values) > 1 {
		return "", refuse(codeInvalidRequest, "%s is given more than once", name)
	}
	return query.Get(name), nil
}

// parseTargets reads the targets of an event stream.
func parseTargets(query url.Values) (targets []keyspace.Target, err error) {
	for _, p := range []struct {
		name   string
		target func(string) keyspace.Target
	}{{"key", keyspace.Key}, {"topic", keyspace.Topic}, {"pattern", keyspace.Pattern}, {"topicPattern", keyspace.TopicPattern}} {
		for _, value := range query[p.name] {
			t := p.target(value)
			if err := t.Check(); err != nil {
				hint := ""
				if t.Kind != keyspace.KindKey && t.Kind != keyspace.KindTopic {
					hint = hashHint(value)
				}
				return nil, refuse(codeInvalidName, "%s %s is not valid: %s%s", p.name, quoted(value), reasonOf(err), hint)
			}
			targets = append(targets, t)
		}
	}
	if len(targets) == 0 {
		return nil, refuse(codeInvalidRequest, "an event stream needs a key, a pattern, a topic or a topicPattern")
	}
	return targets, nil
}

// lastEventID returns the id of the last event that a client received, "" if it sends
// none. A browser that reconnects sends it as a header, and a library in place of a
// browser's EventSource as a parameter.
func lastEventID(query url.Values, h http.Header) (string, error) {
	id, err := single(query, "lastEventId")
	return cmp.Or(h.Get("Last-Event-ID"), id), err
}

// parseStart reads how an event stream begins. A browser that reconnects sends
// Last-Event-ID; a program in its place that cannot set headers sends the parameter
// lastEventId. Both are newer than the parameter since.
func parseStart(query url.Values, h http.Header) (start session.Start, err error) {
	if start.Snapshot, err = parseBool(query, "snapshot"); err != nil {
		return start, err
	}
	if start.Last, err = parseNumber(query, "last", 0, maxItems); err != nil {
		return start, err
	}
	if start.Last > 0 && (!start.Snapshot || len(query["pattern"]) != 1 || query.Has("key")) {
		return start, refuse(codeInvalidRequest, "last limits the snapshot of a pattern: it needs snapshot=true and one pattern, and no key")
	}
	id, err := lastEventID(query, h)
	if err != nil {
		return start, err
	}
	if id != "" {
		start.Resume = true
		var ok bool
		if start.Epoch, start.Since, ok = parseEventID(id); !ok {
			// A browser would give up the stream for good if this were an error.
			start.Epoch = unknownEpoch
		}
		return start, nil
	}
	since, err := single(query, "since")
	if err != nil || !query.Has("since") {
		return start, err
	}
	epoch, err := single(query, "epoch")
	if err != nil {
		return start, err
	}
	var ok bool
	if start.Epoch, start.Since, ok = parseEventID(since); !ok {
		return start, refuse(codeInvalidRequest, "since is neither a revision, an integer of 0 or more, nor the id of an event")
	}
	start.Resume, start.Epoch = true, cmp.Or(epoch, start.Epoch)
	return start, nil
}

// parseProtocol reads the parameter protocol of an event stream, which chooses the form of
// updates as the subprotocol of a WebSocket does.
func parseProtocol(query url.Values) (versioned bool, err error) {
	switch name, err := single(query, "protocol"); {
	case err != nil:
		return false, err
	case name != versionedProtocol && query.Has("protocol"):
		return false, refuse(codeInvalidRequest, "protocol must be %s: leave it out for updates without versions", versionedProtocol)
	default:
		return name == versionedProtocol, nil
	}
}

// knownEventID returns the id of the last event that a client received, "" if it sends none
// that a server could have sent.
func knownEventID(query url.Values, h http.Header) string {
	id, err := lastEventID(query, h)
	if _, _, ok := parseEventID(id); err != nil || !ok {
		return ""
	}
	return id
}

// An epoch that could be a server's is up to maxEpochBytes long and has only
// epochCharacters. So an id can be repeated in a stream.
const (
	maxEpochBytes   = 64
	epochCharacters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
)

// parseEventID reads the id of an event: a revision, and before it the epoch of the
// revision, which may be missing.
func parseEventID(id string) (epoch string, revision uint64, ok bool) {
	i := strings.LastIndexByte(id, '.')
	if i >= 0 {
		epoch = id[:i]
	}
	revision, ok = parseDigits(id[i+1:])
	return epoch, revision, ok && len(epoch) <= maxEpochBytes && strings.Trim(epoch, epochCharacters) == ""
}
