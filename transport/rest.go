package transport

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

func (s *Server) getKey(w http.ResponseWriter, r *http.Request) error {
	e, err := s.keyspace.Get(r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, object(nil).entry(e).end())
	return nil
}

func (s *Server) setKey(w http.ResponseWriter, r *http.Request) error {
	value, err := s.readWrite(w, r)
	if err != nil {
		return err
	}
	key := r.PathValue("name")
	version, err := s.keyspace.Set(r.Context(), key, value)
	if err != nil {
		return err
	}
	o := object(nil).text("key", key).raw("value", value).number("version", version)
	writeJSON(w, http.StatusOK, o.end())
	return nil
}

func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.keyspace.Delete(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request) error {
	value, err := s.readWrite(w, r)
	if err != nil {
		return err
	}
	topic := r.PathValue("name")
	if err := s.keyspace.Publish(r.Context(), topic, value); err != nil {
		return err
	}
	writeJSON(w, http.StatusAccepted, object(nil).text("topic", topic).end())
	return nil
}

// alive answers health and readiness checks. Only the second knows that the
// server is draining; that check was made before.
func (s *Server) alive(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, object(nil).text("status", "ok").end())
	return nil
}

// readWrite reads the body of a write, and returns the value in it.
func (s *Server) readWrite(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > int64(s.maxMessage) {
		return nil, s.tooLarge()
	}
	buffer := messageBuffers.Get().(*[]byte)
	body, err := readAll((*buffer)[:0], r.Body, s.maxMessage)
	defer func() {
		if cap(body) <= maxKeptBuffer {
			*buffer = body
			messageBuffers.Put(buffer)
		}
	}()
	switch {
	case errors.Is(err, errTooBig):
		return nil, s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(codeInvalidRequest, "the body took too long: %v at most are allowed", requestTimeout)
	case err != nil:
		return nil, refuse(codeInvalidRequest, "the body could not be read to its end")
	}
	return parseWrite(body, s.maxValue)
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
