package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"rtdb/keyspace"
)

func (s *Server) getKey(w http.ResponseWriter, r *http.Request) error {
	when, err := parsePrecondition(r)
	if err != nil {
		return err
	}
	key := r.PathValue("name")
	if err := s.wantHTTP(w, r, mayRead(key)); err != nil {
		return err
	}
	e, err := s.keyspace.Get(key)
	if err != nil {
		return err
	}
	if !when.matches(e.Version) {
		return &keyspace.VersionError{Current: e.Version}
	}
	setETag(w, e.Version)
	if !when.matchesNone(e.Version) {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	writeJSON(w, http.StatusOK, object(nil).entry(e).end())
	return nil
}

func (s *Server) setKey(w http.ResponseWriter, r *http.Request) error {
	change, err := readBody(s, w, r, func(body []byte) (keyspace.Change, error) {
		return parseWrite(body, s.maxValue, "ttl")
	})
	if err != nil {
		return err
	}
	return s.change(w, r, change)
}

func (s *Server) patchKey(w http.ResponseWriter, r *http.Request) error {
	patch, err := readBody(s, w, r, func(body []byte) ([]byte, error) { return parsePatch(body, s.maxValue) })
	if err != nil {
		return err
	}
	return s.change(w, r, keyspace.Change{Merge: mergeInto(patch, s.maxValue)})
}

// change answers a write of one key with what the key holds by it.
func (s *Server) change(w http.ResponseWriter, r *http.Request, c keyspace.Change) error {
	c, err := guard(c, r)
	if err != nil {
		return err
	}
	key := r.PathValue("name")
	if err := s.wantHTTP(w, r, mayWrite(key)); err != nil {
		return err
	}
	e, err := s.write(r.Context(), key, c)
	if err != nil {
		return err
	}
	setETag(w, e.Version)
	if c.Delete {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if c.Merge != nil && !principal(r).MayRead(key) { // it has sent a part, and is not to see the rest
		writeJSON(w, http.StatusOK, object(nil).text("key", e.Key).number("version", e.Version).end())
		return nil
	}
	writeJSON(w, http.StatusOK, object(nil).entry(e).end())
	return nil
}

// write is the keyspace's, counted.
func (s *Server) write(ctx context.Context, key string, c keyspace.Change) (e keyspace.Entry, err error) {
	if !s.metrics.commit.due() {
		e, err = s.keyspace.Write(ctx, key, c)
	} else {
		start := time.Now()
		if e, err = s.keyspace.Write(ctx, key, c); err == nil {
			s.metrics.commit.Observe(time.Since(start).Seconds())
		}
	}
	s.metrics.wrote(err)
	return e, err
}

func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, keyspace.Change{Delete: true})
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request) error {
	change, err := readBody(s, w, r, func(body []byte) (keyspace.Change, error) { return parseWrite(body, s.maxValue) })
	if err != nil {
		return err
	}
	topic := r.PathValue("name")
	if err := s.wantHTTP(w, r, mayPublish(topic)); err != nil {
		return err
	}
	if err := s.keyspace.Publish(r.Context(), topic, change.Value); err != nil {
		return err
	}
	writeJSON(w, http.StatusAccepted, object(nil).text("topic", topic).end())
	return nil
}

// setKeys makes many writes, each on its own.
func (s *Server) setKeys(w http.ResponseWriter, r *http.Request) error {
	items, err := readBody(s, w, r, func(body []byte) ([]item, error) { return parseBatch(body, s.maxValue) })
	if err != nil {
		return err
	}
	var changes []keyspace.KeyedChange
	for i := range items {
		x := &items[i]
		if x.err == nil {
			x.err = s.access.want(principal(r), principal(r).MayWrite(x.key.text))
		}
		if x.err == nil {
			changes = append(changes, keyspace.KeyedChange{Key: x.key.text, Change: x.change})
		}
	}
	if p, err := parsePrecondition(r); err != nil || p.match.present || p.noneMatch.present {
		return refuse(codeInvalidRequest, "If-Match and If-None-Match guard one key: items have ifVersion")
	}
	made := s.keyspace.WriteAll(r.Context(), changes)
	body := []byte(`{"results":[`)
	for i, x := range items {
		if i > 0 {
			body = append(body, ',')
		}
		var result object
		if x.key.present {
			result = result.text("key", x.key.text)
		}
		version := uint64(0)
		if x.err == nil {
			version, x.err = made[0].Entry.Version, made[0].Err
			s.metrics.wrote(x.err)
			made = made[1:]
		}
		if x.err != nil {
			result = result.failure(explain(x.err))
		} else {
			result = result.number("version", version)
		}
		body = append(body, result.end()...)
	}
	writeJSON(w, http.StatusOK, append(body, `]}`...))
	return nil
}

// alive answers health and readiness checks. Only the second knows that the
// server is draining; that check was made before.
func (s *Server) alive(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, object(nil).text("status", "ok").end())
	return nil
}

// readBody reads the body of a request and returns what parse makes of it. The
// bytes are parse's only until it returns.
func readBody[T any](s *Server, w http.ResponseWriter, r *http.Request, parse func(body []byte) (T, error)) (T, error) {
	var none T
	if r.ContentLength > int64(s.maxMessage) {
		return none, s.tooLarge()
	}
	buffer := messageBuffers.Get().(*[]byte)
	body, err := readAll((*buffer)[:0], r.Body, s.maxMessage, s.options.Crowded)
	defer func() {
		if cap(body) <= maxKeptBuffer {
			*buffer = body
			messageBuffers.Put(buffer)
		}
	}()
	switch {
	case errors.Is(err, errTooBig):
		return none, s.tooLarge()
	case errors.Is(err, errNoMemory):
		return none, refuse(codeLimitReached, "the server has no memory left for so long a body")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return none, refuse(codeInvalidRequest, "the body took too long: %v at most are allowed", requestTimeout)
	case err != nil:
		return none, refuse(codeInvalidRequest, "the body could not be read to its end")
	}
	return parse(body)
}

func (s *Server) tooLarge() error {
	return refuse(codeTooLarge, "the body is longer than %d bytes", s.maxMessage)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // it fails where the client has gone, and then nobody is left to tell
}

// writeFailure answers a request that failed. Where the body was too large it
// then reads on for a while: a client that sends all before it reads would
// otherwise find the connection reset, and no answer (RFC 9112, section 9.6).
func writeFailure(w http.ResponseWriter, r *http.Request, f *failure) {
	body := object(nil).failure(f).end()
	switch f.code {
	case codeLimitReached, codeRateLimited:
		w.Header().Set("Retry-After", strconv.Itoa(retrySeconds(f.retry)))
	}
	if f.code != codeTooLarge {
		writeJSON(w, f.status, body)
		return
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // only HTTP/1 needs it, and only that has it
	w.Header().Set("Connection", "close")
	writeJSON(w, f.status, body)
	if control.Flush() != nil || r.Header.Get("Expect") != "" {
		return // such a client waits for word before it sends
	}
	if control.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}
