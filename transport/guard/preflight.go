package guard

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The headers that a page may read besides those that are always readable, and the
// headers that it may always send.
const (
	exposedHeaders = "ETag, Retry-After, WWW-Authenticate"
	allowedHeaders = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID"
)

// maxAskedHeaders is how long the list of headers may be that a page asks for.
const maxAskedHeaders = 4 << 10

// Preflight reports whether the request is a CORS preflight (WHATWG Fetch, section
// 3.3.2) of a page of an allowed origin. If it is, Preflight sets the methods and
// headers that the page may send. It comes after Check. methods is the value of the
// header Allow.
func Preflight(w http.ResponseWriter, r *http.Request, methods string) bool {
	h := w.Header()
	if r.Method != http.MethodOptions || h.Get("Access-Control-Allow-Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", strings.Join(append([]string{allowedHeaders}, askedHeaders(r)...), ", "))
	h.Set("Access-Control-Max-Age", "600")
	return true
}

// askedHeaders returns the headers that a page asks to send, such as those that a library
// for tracing adds to each request. Any are allowed: the page may write and read in any
// case, the server ignores a header that it does not know, and no browser lets a page set
// Host, Origin or Cookie. The list is empty if it is too long, or a name is not valid.
func askedHeaders(r *http.Request) (names []string) {
	text := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ",")
	if text == "" || len(text) > maxAskedHeaders {
		return nil
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.Trim(name, " \t")
		if !httpguts.ValidHeaderFieldName(name) {
			return nil
		}
		names = append(names, name)
	}
	return names
}
