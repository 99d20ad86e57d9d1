package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/rawjson"
	"rtdb/transport/socket"
)

const (
	// heartbeatInterval is how often a comment is sent.
	heartbeatInterval = 15 * time.Second

	// eventPiece is how much of a stream is written at once. Each piece has
	// socket.StallTimeout, because net/http does not tell how much of a piece was
	// taken.
	eventPiece = 4 << 10

	// eventBuffer is the size of the kernel's send buffer for a stream. A blocked write
	// continues when about a third of the buffer is free. With the usual buffer of
	// megabytes a slow client would look stalled.
	eventBuffer = 64 << 10

	eventType = "text/event-stream"
)

// eventStreams is the endpoint of server-sent events (WHATWG HTML, section 9.2).
type eventStreams struct{ *core }

func (x *eventStreams) serve(w *response, r *http.Request) error {
	targets, err := parseTargets(w.query)
	if err != nil {
		return err
	}
	start, err := parseStart(w.query, r.Header)
	if err != nil {
		return err
	}
	encoder, err := parseProtocol(w.query)
	if err != nil {
		return err
	}
	granted := true
	for _, t := range targets {
		granted = granted && w.principal.MaySubscribe(t)
	}
	if err := x.authorize(w, granted); err != nil {
		return err
	}
	if limit := x.options.MaxSubscriptions; len(targets) > limit {
		return refuse(codeLimitReached, "an event stream may have at most %d keys, patterns and topics", limit)
	}
	if r.Method == http.MethodHead {
		eventHeader(w)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if err := x.clients.reserve(eventClient); err != nil {
		return err
	}
	defer x.clients.release(eventClient)
	lastID := knownEventID(w.query, r.Header)
	ctx, cancel := context.WithCancel(x.lifetime)
	defer cancel()
	s := &eventStream{
		core: x.core, w: w, control: http.NewResponseController(w), closed: make(chan struct{}), cancel: cancel, start: start, lastID: lastID,
		// If net/http's reader of a request without a body is stopped, every later request
		// of the connection counts as canceled.
		owed: r.Body != http.NoBody,
	}
	_ = s.control.EnableFullDuplex() // a request body that is still owed is not waited for; only HTTP/1 needs it and has it
	if r.ProtoMajor == 1 {           // a connection of HTTP/2 carries other responses, too
		socket.LimitSendBuffer(socket.NetConn(r), eventBuffer)
	}
	if err := s.control.SetReadDeadline(time.Time{}); err != nil { // the request had one
		return fmt.Errorf("transport: an event stream's connection takes no deadline: %w", err)
	}
	x.open(&s.client, eventClient, w.remote, s, session.Options{Revisions: true, Encoder: encoder})
	if !w.principal.Expires.IsZero() {
		c := newCredentials(w.principal, func(time.Duration) {}, s.session.Close)
		defer c.stop()
	}
	s.serve(ctx, r.Context(), targets)
	return nil
}

// eventHeader sets the headers of a stream. X-Accel-Buffering tells nginx to pass on
// data at once; other proxies go by the type.
func eventHeader(w *response) {
	h := w.Header()
	h.Set("Content-Type", eventType)
	h.Set("Cache-Control", cacheControl)
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
}

// An eventStream is a client that receives server-sent events. Its session has no
// pool, because net/http's writes block.
type eventStream struct {
	client
	core    *core
	w       *response
	control *http.ResponseController
	start   session.Start
	lastID  string             // of the last event that the client received, or ""
	cancel  context.CancelFunc // ends the subscribing
	closed  chan struct{}      // closed by Close
	owed    bool               // the request has a body, which may never come
	bytes   atomic.Uint64      // sent
	beat    atomic.Bool        // a comment is due
	aborted atomic.Bool        // nothing more is written

	// These fields belong to the session's actor, once the stream has begun.
	epoch       string    // of revision
	revision    uint64    // the client may resume from it
	marked      uint64    // revision from the mark on
	synced      bool      // the mark was sent
	endingSince time.Time // the first write after the session began to end; the rest has StallTimeout from then on
	torn        bool      // an event was written in part

	writeMu  sync.Mutex // held while a piece is written
	writeErr error      // why a piece could not be written
}

// serve runs the stream until its end.
func (s *eventStream) serve(ctx, request context.Context, targets []keyspace.Target) {
	s.core.enter(&s.client)
	stop := context.AfterFunc(request, func() { s.session.Abort(s.goneError()) })
	defer stop()

	eventHeader(s.w)
	if err := s.write(append(streamStart(time.Second, s.lastID), '\n')); err != nil {
		s.session.Abort(err)
	}
	stopBeating := s.startBeating()
	// A client that loses the connection before the mark must ask for the same
	// again. So until then its revision is the one that it came with. 0 is older
	// than everything.
	s.epoch = s.core.keyspace.Epoch()
	switch {
	case s.start.Resume:
		s.epoch, s.revision = s.start.Epoch, s.start.Since
		if s.epoch != "" && s.epoch != s.core.keyspace.Epoch() {
			s.epoch, s.revision = unknownEpoch, 0 // not the client's text
		}
	case !s.start.Snapshot:
		s.revision = s.core.keyspace.Revision()
	}
	s.core.clients.inform(&s.client)
	err := s.session.Subscribe(ctx, targets, s.start, s.mark)
	if err != nil && !s.session.Ending() {
		s.session.Abort(err)
	}
	<-s.closed
	stopBeating()
	s.writeEnd()
	s.core.leave(&s.client, 1, nil)
}

// streamStart returns the first lines of a stream. A browser that loses it waits for retry
// before it reconnects, and up to 2 s more, so that not all come back at once. lastID is
// the id that the client came with. It is repeated because a client may forget it when a
// stream begins without an id (WHATWG HTML, section 9.2.6).
func streamStart(retry time.Duration, lastID string) []byte {
	text := fmt.Appendf(nil, "retry: %d\n", (retry + rand.N(2*time.Second)).Milliseconds())
	if lastID != "" {
		text = fmt.Appendf(text, "id: %s\n", lastID)
	}
	return text
}

// startBeating sends a comment every heartbeatInterval.
func (s *eventStream) startBeating() (stop func()) {
	ticker := time.NewTicker(heartbeatInterval)
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		for {
			select {
			case <-ticker.C:
				s.beat.Store(true)
				s.session.Flush()
			case <-done:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(done)
		beating.Wait()
	}
}

// mark returns the text between the snapshot and live updates: the event synced if the
// client asked for a snapshot or to resume, and otherwise only an id to resume from,
// which a page does not see.
func (s *eventStream) mark(m keyspace.Mark) []byte {
	s.marked = m.Revision
	text := appendEventID(nil, m.Epoch, m.Revision)
	if s.start.Snapshot || s.start.Resume {
		text = append(text, "event: synced\ndata: "...)
		text = append(text, withMark(rawjson.Builder(nil).True("synced"), m).End()...)
		text = append(text, '\n')
	}
	return append(text, '\n')
}

// TrySend implements [session.Conn]. It is not called.
func (s *eventStream) TrySend([]session.Message) (done bool, err error) {
	return true, errors.ErrUnsupported
}

// Send implements [session.Conn]. From the mark on ids never go down: a client that
// has everything up to one id also has everything up to an earlier one.
func (s *eventStream) Send(messages []session.Message) error {
	var text []byte
	if s.beat.Swap(false) {
		text = append(text, ":\n\n"...)
	}
	for i := range messages {
		m := &messages[i]
		if m.Reply || m.Notice {
			text = append(text, m.Text()...)
			if m.Reply { // the mark
				s.synced, s.epoch, s.revision = true, s.core.keyspace.Epoch(), s.marked
			}
			continue
		}
		if s.synced {
			s.revision = max(s.revision, m.Revision)
		}
		text = appendEventID(text, s.epoch, s.revision)
		text = append(text, "data: "...)
		text = append(text, m.Text()...)
		text = append(text, "\n\n"...)
	}
	return s.write(text)
}

// write writes text in pieces, as long as the client takes them. Once the session is
// ending, taking them gives the client no more time.
func (s *eventStream) write(text []byte) error {
	s.torn = true
	for len(text) > 0 {
		piece := text[:min(len(text), eventPiece)]
		from := time.Now()
		if s.session.Ending() {
			if s.endingSince.IsZero() {
				s.endingSince = from
			}
			from = s.endingSince
		}
		deadline := from.Add(socket.StallTimeout)
		if err := s.control.SetWriteDeadline(deadline); err != nil {
			return err
		}
		if s.aborted.Load() {
			return errRestart
		}
		if err := s.writePiece(piece, deadline); err != nil {
			return err
		}
		s.bytes.Add(uint64(len(piece)))
		text = text[len(piece):]
	}
	s.torn = false
	return nil
}

// writeEnd tells the client why the server ends the stream. It has the time that Close
// has set. It writes nothing if the client has gone or is cut off, or the last event is
// torn, because a client would take the end for a part of that event.
func (s *eventStream) writeEnd() {
	end := endingOf(s.session.Cause())
	if end.silent || s.torn || s.aborted.Load() {
		return
	}
	why := rawjson.Builder(nil).String("reason", end.reason).Uint("code", uint64(end.code)).End()
	n, err := fmt.Fprintf(s.w, "event: end\ndata: %s\n\n", why)
	if err == nil && s.control.Flush() == nil {
		s.bytes.Add(uint64(n))
	}
}

// writePiece writes one piece. The errors of HTTP/2 do not tell why it ended the stream: either
// the deadline has passed, or the client has gone.
func (s *eventStream) writePiece(piece []byte, deadline time.Time) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	_, err := s.w.Write(piece)
	if err == nil {
		err = s.control.Flush()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), err != nil && !time.Now().Before(deadline):
		err = socket.ErrStalled
	case err != nil && !socket.IsLost(err):
		err = fmt.Errorf("%w: %w", errGone, err)
	}
	s.writeErr = err
	return err
}

// goneError returns why the request's context has ended. If a piece cannot be written,
// net/http ends the context, and does so before the write returns.
func (s *eventStream) goneError() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.writeErr != nil {
		return s.writeErr
	}
	return errGone
}

// Close implements [session.Conn]. Then serve writes why the stream ends, and net/http ends
// the response, within socket.CloseTimeout.
func (s *eventStream) Close(error) {
	_ = s.control.SetWriteDeadline(time.Now().Add(socket.CloseTimeout))
	if s.owed {
		_ = s.control.SetReadDeadline(time.Now())
	}
	s.cancel()
	close(s.closed)
}

// hangUp implements link.
func (s *eventStream) hangUp(cause error) { s.session.Close(cause) }

// abort implements link.
func (s *eventStream) abort(cause error) {
	s.aborted.Store(true)
	_ = s.control.SetWriteDeadline(time.Now()) // a piece may be under way
	s.session.Abort(cause)
}

// sent implements link.
func (s *eventStream) sent() uint64 { return s.bytes.Load() }
