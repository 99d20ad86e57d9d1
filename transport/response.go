package transport

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport/auth"
	"rtdb/transport/guard"
	"rtdb/transport/rawjson"
	"rtdb/transport/socket"
)

// A response is the ResponseWriter of one request, with the facts that the endpoints and
// the log use.
type response struct {
	http.ResponseWriter
	remote    string
	route     string
	name      string          // in the path: a key, a topic, or ""
	query     url.Values      // of the request, as parseQuery reads it
	principal *auth.Principal // nil: at /ws, a client that has not authenticated yet
	etag      [1]string       // the lines of the header, which would be a slice of their own
	status    int
	code      string // of the error that was sent
	err       error
	refusal   int  // the status that a response with status 200 stands for, or 0
	aborted   bool // by abort

	afterwards func() // called when the request is logged; nil: nothing is left to do
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// cacheControl keeps caches from storing a response, because state changes at any moment.
// It keeps proxies from changing one (RFC 9111, section 5.2.2.6): a proxy that compresses
// changes the ETag, and may hold back an event stream.
const cacheControl = "no-store, no-transform"

// Lines of the headers of all JSON responses. They are shared, and must not be changed:
// Header.Set makes a slice for each line of each response.
var (
	jsonType     = []string{"application/json"}
	jsonCaching  = []string{cacheControl}
	jsonSniffing = []string{"nosniff"}
)

// jsonHeader sets the headers of a JSON response.
func (w *response) jsonHeader() {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = jsonType, jsonCaching, jsonSniffing
}

// json sends a JSON body.
func (w *response) json(status int, body []byte) {
	w.jsonHeader()
	// net/http adds the length of a body of up to 2 KiB that is whole when the handler returns.
	// That saves a write half a microsecond of CPU (BenchmarkWritesREST).
	if status != http.StatusOK || len(body) > 2<<10 {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // it fails if the client has gone, and then nobody is left to tell
}

// entry sends a key, its value and its version.
func (w *response) entry(e keyspace.Entry) {
	buffer := socket.TakeBuffer()
	defer buffer.Free()
	buffer.Bytes = withEntry(buffer.Bytes, e).End()
	w.json(http.StatusOK, buffer.Bytes)
}

// empty sends a response without a body.
func (w *response) empty(status int) {
	w.Header().Set("Cache-Control", cacheControl)
	w.WriteHeader(status)
}

// challenge sets the header that asks for a token (RFC 6750, section 3).
func (w *response) challenge(err error) {
	value := `Bearer realm="rtdb"`
	if err != errNoToken && err != errCookieForGet {
		value += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", value)
}

// fail sends an error, or aborts the response if a part of it was sent. If the body of the
// request was refused, it then reads on for a while: a client that sends everything before
// it reads would otherwise find the connection reset, and no response (RFC 9112, section
// 9.6). A body that was too large ends the connection. Another one does not, if it comes to
// its end. HTTP/2 does not need this: it can end a request alone, and its clients stop
// sending when they get an error.
func (w *response) fail(r *http.Request, err error) {
	f := explain(err)
	w.code, w.err = f.code, err
	if w.status != 0 {
		w.refusal = f.status
		w.abort(err)
		return
	}
	var b rawjson.Builder
	if f.state != "" {
		b = b.String("status", f.state)
	}
	body := withFailure(b, f).End()
	if f.isTemporary() && w.route == eventsRoute && isEventSource(r) {
		w.failStream(r, f, body)
		return
	}
	if f.retry > 0 || f.code == codeLimitReached || f.code == codeRateLimited {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(f.retry.Seconds())))))
	}
	if format := new(guard.FormatError); errors.As(err, &format) {
		w.Header().Set(format.Header, format.Value)
	}
	refusedBody := f.code == codeTooLarge || f.code == codeUnsupportedMedia
	if !refusedBody || r.ProtoMajor != 1 {
		w.json(f.status, body)
		return
	}
	if f.code == codeTooLarge {
		w.Header().Set("Connection", "close")
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // else net/http reads the body before it sends the response
	w.json(f.status, body)
	if control.Flush() != nil || r.Header.Get("Expect") != "" {
		return // a client that sent Expect waits for permission before it sends the body
	}
	if control.SetReadDeadline(time.Now().Add(socket.LingerTimeout)) == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// abort ends a response in the middle: the connection or, over HTTP/2, the stream is cut
// off, so that the client sees that the rest is missing. err is the reason, for the log.
func (w *response) abort(err error) {
	w.aborted, w.err = true, err
	if w.status == 0 {
		w.WriteHeader(http.StatusOK) // it reaches nobody, but is logged and counted
	}
}

// isEventSource reports whether the client follows events as a browser does: it asks for
// a stream and, if the status is not 200, never asks again.
func isEventSource(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, line := range r.Header.Values("Accept") {
		for accepted := range strings.SplitSeq(line, ",") {
			kind, parameters, err := mime.ParseMediaType(accepted)
			if q, _ := strconv.ParseFloat(cmp.Or(parameters["q"], "1"), 64); err == nil && kind == eventType && q > 0 {
				return true
			}
		}
	}
	return false
}

// failStream refuses a stream for now, as a stream that has the error as its only event
// and then ends.
func (w *response) failStream(r *http.Request, f *failure, body []byte) {
	w.refusal = f.status
	eventHeader(w)
	text := streamStart(max(f.retry, time.Second), knownEventID(r.URL.Query(), r.Header))
	_, _ = w.Write(fmt.Appendf(text, "event: error\ndata: %s\n\n", body)) // it fails if the client has gone
}

// readBody reads the body of a request and returns the result of parse. It refuses a body
// in a format that cannot be read before it reads it. parse must not keep the bytes.
// crowded reports that memory is short; it may be nil.
func readBody[T any](r *http.Request, limit int, crowded func() bool, parse func(body []byte) (T, error)) (T, error) {
	var zero T
	tooLarge := func() error { return refuse(codeTooLarge, "the body is longer than %d bytes", limit) }
	switch err := guard.CheckFormat(r); {
	case err != nil:
		return zero, err
	case r.Header.Get("Content-Range") != "": // RFC 9110, section 14.5
		return zero, refuse(codeInvalidRequest, "Content-Range: a value is written whole, or in part by PATCH")
	case r.ContentLength > int64(limit):
		return zero, tooLarge()
	}
	buffer := socket.TakeBuffer()
	defer buffer.Free()
	switch err := buffer.ReadAll(r.Body, limit, crowded); {
	case errors.Is(err, socket.ErrTooBig):
		return zero, tooLarge()
	case errors.Is(err, socket.ErrNoMemory):
		return zero, refuse(codeLimitReached, "the server has no memory left for so long a body")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return zero, refuse(codeInvalidRequest, "the body took too long: it may take %v", requestTimeout)
	case err != nil:
		return zero, refuse(codeInvalidRequest, "the body could not be read to its end")
	}
	if encoding := guard.Encoding(buffer.Bytes); encoding != "" {
		return zero, refuse(codeInvalidRequest, "the body is %s: send it in plain UTF-8", encoding)
	}
	return parse(buffer.Bytes)
}

// end ends a request that was handled since start.
func (w *response) end(log zerolog.Logger, r *http.Request, start time.Time) {
	w.log(log, r, start)
	if w.aborted {
		panic(http.ErrAbortHandler) // net/http offers no other way
	}
}

// log writes the log line of the request. No field can be longer than a name.
func (w *response) log(log zerolog.Logger, r *http.Request, start time.Time) {
	level := zerolog.InfoLevel
	if w.route == healthRoute || w.route == readyRoute || w.route == metricsRoute {
		level = zerolog.DebugLevel
	}
	e := log.WithLevel(level)
	if e == nil { // nobody reads the line
		return
	}
	e = e.Str("remote", w.remote).Str("method", shortened(r.Method)).Str("route", w.route).
		Int("status", w.status).Float64("duration_ms", milliseconds(time.Since(start)))
	if subject := subjectOf(w.principal); subject != "" {
		e = e.Str("subject", subject)
	}
	if keyspace.CheckName(w.name) == nil {
		if w.route == topicRoute {
			e = e.Str("topic", w.name)
		} else {
			e = e.Str("key", w.name)
		}
	}
	if w.code != "" {
		e = e.Str("code", w.code)
	}
	var page *guard.OriginError
	var host *guard.HostError
	switch {
	case errors.As(w.err, &page):
		if page.Origin != "" {
			e = e.Str("origin", page.Origin)
		}
		e = e.Str("error", explain(w.err).message)
	case errors.As(w.err, &host):
		e = e.Str("host", host.Host).Str("error", explain(w.err).message)
	case w.refusal != 0, w.aborted, w.code == codeInternal, w.code == codeUnavailable:
		e = e.Err(w.err)
	}
	e.Msg("http request")
}

// shortened truncates a word to 16 bytes and drops invalid UTF-8.
func shortened(word string) string { return strings.ToValidUTF8(word[:min(len(word), 16)], "") }

// milliseconds returns a duration in milliseconds, with three decimal places.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
