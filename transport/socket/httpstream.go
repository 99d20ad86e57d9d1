package socket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// httpPiece is how much of an HTTPStream is written at once. Each piece has StallTimeout,
	// because net/http does not tell how much of a piece was taken.
	httpPiece = 4 << 10

	// httpBuffer is the size of the kernel's send buffer for an HTTPStream. A blocked write
	// continues when about a third of the buffer is free. With the usual buffer of megabytes
	// a slow client would look stalled.
	httpBuffer = 64 << 10
)

// An HTTPStream is a stream as [Stream] is, written by net/http: over HTTP/2, under TLS, to
// a request with a body, and on systems without a descriptor. Its methods are those of Stream,
// with the same rules. Its writes block, so its session has no pool.
type HTTPStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	request context.Context
	owed    bool // the request has a body, which may never come
	session Session
	sent    atomic.Uint64
	cut     atomic.Bool   // nothing more is written
	ended   chan struct{} // closed by End

	// These fields belong to the session's actor.
	first       []byte    // the text before all others, until Begin
	endingSince time.Time // the first write after the session began to end; the rest has StallTimeout from then on
	torn        bool      // a text was written in part

	mu  sync.Mutex // held while a piece is written
	err error      // why a piece could not be written
}

// NewHTTPStream begins a response of status 200. The handler of the request must not return
// before Await has.
func NewHTTPStream(w http.ResponseWriter, r *http.Request) (*HTTPStream, error) {
	s := &HTTPStream{
		w: w, control: http.NewResponseController(w), request: r.Context(), ended: make(chan struct{}),
		// If net/http's reader of a request without a body is stopped, every later request
		// of the connection counts as canceled.
		owed: r.Body != http.NoBody,
	}
	_ = s.control.EnableFullDuplex() // a request body that is still owed is not waited for; only HTTP/1 needs it and has it
	if r.ProtoMajor == 1 {           // a connection of HTTP/2 carries other responses, too
		LimitSendBuffer(NetConn(r), httpBuffer)
	}
	if err := s.control.SetReadDeadline(time.Time{}); err != nil { // the request had one
		return nil, fmt.Errorf("socket: the connection of a stream takes no deadline: %w", err)
	}
	w.WriteHeader(http.StatusOK)
	return s, nil
}

// Start sets the session, and the text before all others.
func (s *HTTPStream) Start(session Session, first []byte) { s.session, s.first = session, first }

// Begin returns a buffer for the next text.
func (s *HTTPStream) Begin() (text []byte) {
	text, s.first = s.first, nil
	return text
}

// TryWrite is not called.
func (s *HTTPStream) TryWrite([]byte) (done bool, err error) { return true, errors.ErrUnsupported }

// Write writes the text in pieces, as long as the client takes them.
func (s *HTTPStream) Write(text []byte) error {
	s.torn = true
	for len(text) > 0 {
		piece := text[:min(len(text), httpPiece)]
		from := time.Now()
		if s.session.Ending() {
			if s.endingSince.IsZero() {
				s.endingSince = from
			}
			from = s.endingSince
		}
		if err := s.writePiece(piece, from.Add(StallTimeout)); err != nil {
			return err
		}
		text = text[len(piece):]
	}
	s.torn = false
	return nil
}

// writePiece writes one piece. The errors of HTTP/2 do not tell why it ended the stream: either
// the deadline has passed, or the client has gone.
func (s *HTTPStream) writePiece(piece []byte, deadline time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.control.SetWriteDeadline(deadline)
	if err != nil {
		return err
	}
	if s.cut.Load() { // after the deadline, which Cut sets, too
		return os.ErrDeadlineExceeded
	}
	if _, err = s.w.Write(piece); err == nil {
		err = s.control.Flush()
	}
	switch {
	case err == nil:
		s.sent.Add(uint64(len(piece)))
	case errors.Is(err, os.ErrDeadlineExceeded), !time.Now().Before(deadline):
		err = ErrStalled
	case !IsLost(err):
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	s.err = err
	return err
}

// End writes the last text and lets net/http end the response.
func (s *HTTPStream) End(text []byte) {
	defer close(s.ended)
	if s.owed {
		_ = s.control.SetReadDeadline(time.Now())
	}
	deadline := time.Now().Add(CloseTimeout)
	if text == nil || s.torn {
		_ = s.control.SetWriteDeadline(deadline)
		return
	}
	_ = s.writePiece(text, deadline) // it fails if the client has gone
}

// Cut makes the write under way, and all later ones, fail.
func (s *HTTPStream) Cut() {
	s.cut.Store(true)
	_ = s.control.SetWriteDeadline(time.Now())
}

// Await waits until End has returned. Before that it calls gone if the client has gone.
func (s *HTTPStream) Await(gone func(error)) {
	select {
	case <-s.request.Done():
		gone(s.whyGone())
		<-s.ended
	case <-s.ended:
	}
}

// whyGone returns why the request's context has ended. If a piece cannot be written, net/http
// ends the context, and does so before the write returns.
func (s *HTTPStream) whyGone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return ErrGone
}

// Sent returns the number of bytes of text that were written.
func (s *HTTPStream) Sent() uint64 { return s.sent.Load() }
