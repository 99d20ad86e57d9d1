package transport

import (
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"rtdb/keyspace"
)

// A response is a ResponseWriter that remembers what the log wants to know.
type response struct {
	http.ResponseWriter
	remote string
	route  string
	name   string // in the path: a key, a topic, or neither
	status int
	code   string // of the error that was answered
	err    error
}

func (r *response) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *response) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// logHTTP writes the line of one request. Nothing is in it that a client could
// make longer than a name may be.
func (s *Server) logHTTP(w *response, r *http.Request, took time.Duration) {
	level := zerolog.InfoLevel
	if w.route == "/healthz" || w.route == "/readyz" || w.route == metricsRoute {
		level = zerolog.DebugLevel
	}
	e := s.log.WithLevel(level).
		Str("remote", w.remote).Str("method", shortened(r.Method)).Str("route", w.route).
		Int("status", w.status).Float64("duration_ms", milliseconds(took))
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
	if w.code == codeInternal || w.code == codeUnavailable {
		e = e.Err(w.err)
	}
	e.Msg("http request")
}

// logRequest writes the line of one WebSocket request, at debug.
func (s *Server) logRequest(c *client, r *request, err error) {
	e := s.log.Debug()
	if e == nil {
		return
	}
	e = e.Str("session", c.id).Str("action", shortened(r.action.text))
	if r.key.present && keyspace.CheckName(r.key.text) == nil {
		e = e.Str("key", r.key.text)
	}
	if r.topic.present && keyspace.CheckName(r.topic.text) == nil {
		e = e.Str("topic", r.topic.text)
	}
	if err != nil {
		e = e.Str("code", explain(err).code).Err(err)
	}
	e.Msg("session request")
}

// shortened returns what is a short word where it is what it should be.
func shortened(word string) string { return strings.ToValidUTF8(word[:min(len(word), 16)], "") }
