package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
)

const (
	// heartbeatInterval is how often a stream says that it lives.
	heartbeatInterval = 15 * time.Second

	// streamPiece is how much of a stream is written at once. Each piece has
	// stallTimeout of its own: net/http does not tell how much of one was
	// taken.
	streamPiece = 4 << 10

	// streamBuffer is how much the kernel holds for a stream. A write that
	// waits goes on only when about a third of that is free, so with the
	// usual megabytes a client that reads slowly would seem to take nothing.
	streamBuffer = 64 << 10
)

// A stream is one response of server-sent events (WHATWG HTML, section 9.2).
type stream struct {
	guest
	w       http.ResponseWriter
	control *http.ResponseController
	ended   chan struct{}      // closed by Close
	end     context.CancelFunc // of the request's work
	written atomic.Uint64      // bytes
	beat    atomic.Bool        // a comment is due
	cut     atomic.Bool        // nothing more is written

	// The revision that the client has, and the one it will have at the
	// mark. The first is the session's actor's own, once the stream is open.
	revision uint64
	marked   uint64
	synced   bool // the mark was sent; the actor's own

	writing sync.Mutex // held for a piece
	failed  error      // why that could not be written

	last time.Time // when the session had ended: what then waits has stallTimeout; the actor's own
}

func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) error {
	names, start, err := parseSelectors(r)
	if err != nil {
		return err
	}
	if err := s.wantHTTP(w, r, mayHear(&names)); err != nil {
		return err
	}
	if most := s.options.MaxSubscriptions; len(names.Keys)+len(names.Topics)+len(names.Patterns) > most {
		return refuse(codeLimitReached, "a stream may have %d selectors at most", most)
	}
	if r.Method == http.MethodHead {
		eventHeader(w)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if err := s.begin(&s.streams); err != nil {
		return err
	}
	defer s.end(&s.streams)
	ctx, cancel := context.WithCancel(s.lifetime)
	defer cancel()
	e := &stream{w: w, control: http.NewResponseController(w), ended: make(chan struct{}), end: cancel}
	// A body that the client still owes is not waited for.
	_ = e.control.EnableFullDuplex() // only HTTP/1 needs it, and only that has it
	if c, ok := r.Context().Value(connKey{}).(interface{ SetWriteBuffer(int) error }); ok {
		_ = c.SetWriteBuffer(streamBuffer) // a smaller one is only better
	}
	if err := e.control.SetReadDeadline(time.Time{}); err != nil { // it was the request's
		return fmt.Errorf("transport: a stream's connection takes no deadline: %w", err)
	}
	e.open(s, eventsRoute, w.(*response).remote, e, session.Options{Revisions: true})
	if who := principal(r); !who.Expires.IsZero() {
		c := newCredentials(&s.access, who, func(time.Duration) {}, e.session.Close)
		defer c.stop()
	}
	e.serve(ctx, r, names, start)
	return nil
}

// eventHeader sets the header of a stream. X-Accel-Buffering is how nginx is
// told to pass on what comes at once; others go by the type.
func eventHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
}

// serve runs the stream until its end.
func (e *stream) serve(ctx context.Context, r *http.Request, names session.Names, start session.Start) {
	e.logOpened()
	e.server.enter(e)
	stop := context.AfterFunc(r.Context(), func() { e.session.Abort(e.gone()) })
	defer stop()

	eventHeader(e.w)
	// A browser waits that long before it comes again. Not all at once.
	retry := fmt.Sprintf("retry: %d\n\n", 1000+rand.IntN(2000))
	if err := e.write([]byte(retry)); err != nil {
		e.session.Abort(err)
	}
	stopBeating := e.startBeating()
	// Who loses the connection before the mark has not got what it asked
	// for, and must ask for the same again: 0 is older than all there is.
	switch {
	case start.Resume:
		e.revision = start.Since
	case !start.Snapshot:
		e.revision = e.server.keyspace.Revision()
	}
	err := e.session.Subscribe(ctx, names, start, func(m keyspace.Mark) []byte { return e.mark(m, start) })
	if err != nil && !e.session.Ended() {
		e.session.Abort(err)
	}
	<-e.ended
	stopBeating()
	stats, err := e.session.End(e.server.lifetime)
	e.server.leave(e, stats)
	e.logClosed(stats, err, 1, e.written.Load())
}

// startBeating has a comment sent every heartbeatInterval.
func (e *stream) startBeating() (stop func()) {
	ticker := time.NewTicker(heartbeatInterval)
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		for {
			select {
			case <-ticker.C:
				e.beat.Store(true)
				e.session.Flush()
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

// mark is what a stream gets between what was and what comes: the event synced
// where it asked for what was, and else only an id to resume from, of which a
// page sees nothing.
func (e *stream) mark(m keyspace.Mark, start session.Start) []byte {
	e.marked = m.Revision
	text := appendID(nil, m.Revision)
	if start.Snapshot || start.Resume {
		text = append(text, "event: synced\ndata: "...)
		text = append(text, object(nil).truth("synced").mark(m).end()...)
		text = append(text, '\n')
	}
	return append(text, '\n')
}

func appendID(text []byte, revision uint64) []byte {
	text = append(text, "id: "...)
	return append(strconv.AppendUint(text, revision, 10), '\n')
}

// TrySend is not called: a stream's session has no pool.
func (e *stream) TrySend([]session.Message) (done bool, err error) {
	return true, errors.ErrUnsupported
}

// Send is the session's. From the mark on ids go up, and never back: who has
// got what is up to one has also got what is up to an earlier one.
func (e *stream) Send(messages []session.Message) error {
	var text []byte
	if e.beat.Swap(false) {
		text = append(text, ":\n\n"...)
	}
	for _, m := range messages {
		if m.Answer {
			text = append(text, m.Text...)
			e.synced, e.revision = true, e.marked
			continue
		}
		if e.synced {
			e.revision = max(e.revision, m.Revision)
		}
		text = appendID(text, e.revision)
		text = append(text, "data: "...)
		text = append(text, m.Text...)
		text = append(text, "\n\n"...)
	}
	return e.write(text)
}

// write writes piece by piece, for as long as the client takes them. Once the
// session has ended, taking them buys no more time.
func (e *stream) write(text []byte) error {
	for len(text) > 0 {
		piece := text[:min(len(text), streamPiece)]
		from := time.Now()
		if e.session.Ended() {
			if e.last.IsZero() {
				e.last = from
			}
			from = e.last
		}
		if err := e.control.SetWriteDeadline(from.Add(stallTimeout)); err != nil {
			return err
		}
		if e.cut.Load() {
			return errRestart
		}
		if err := e.writePiece(piece); err != nil {
			return err
		}
		e.written.Add(uint64(len(piece)))
		text = text[len(piece):]
	}
	return nil
}

func (e *stream) writePiece(piece []byte) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	_, err := e.w.Write(piece)
	if err == nil {
		err = e.control.Flush()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errStalled
	}
	e.failed = err
	return err
}

// gone is why the request's context has ended: net/http ends it also where a piece
// could not be written, and before it says so to whoever writes.
func (e *stream) gone() error {
	e.writing.Lock()
	defer e.writing.Unlock()
	if e.failed != nil {
		return e.failed
	}
	return errGone
}

// Close is the session's. What net/http writes to end the response has its own
// time.
func (e *stream) Close(error) {
	_ = e.control.SetWriteDeadline(time.Now().Add(closeTimeout))
	_ = e.control.SetReadDeadline(time.Now()) // of a body that never came
	e.end()
	close(e.ended)
}

func (e *stream) kick() { e.session.Close(errKicked) }

func (e *stream) seen() (*guest, uint64) { return &e.guest, e.written.Load() }

func (e *stream) hangUp(cause error) { e.session.Close(cause) }

func (e *stream) abort(cause error) {
	e.cut.Store(true)
	_ = e.control.SetWriteDeadline(time.Now()) // it may be writing
	e.session.Abort(cause)
}

// parseSelectors reads what a stream is of. Last-Event-ID is what a browser
// sends when it comes again, and newer than what stands in the address.
func parseSelectors(r *http.Request) (names session.Names, start session.Start, err error) {
	query := r.URL.Query()
	names = session.Names{Keys: query["key"], Topics: query["topic"], Patterns: query["pattern"]}
	for _, key := range names.Keys {
		if err := keyspace.CheckName(key); err != nil {
			return names, start, badSelector("key", key, err)
		}
	}
	for _, topic := range names.Topics {
		if err := keyspace.CheckName(topic); err != nil {
			return names, start, badSelector("topic", topic, err)
		}
	}
	for _, pattern := range names.Patterns {
		if err := keyspace.CheckPattern(pattern); err != nil {
			return names, start, badSelector("pattern", pattern, err)
		}
	}
	if len(names.Keys)+len(names.Topics)+len(names.Patterns) == 0 {
		return names, start, refuse(codeInvalidRequest, "events of what? Name a key, a pattern or a topic")
	}
	start, err = parseEventStart(query, r.Header.Get("Last-Event-ID"))
	return names, start, err
}

func badSelector(what, name string, err error) error {
	return refuse(codeInvalidName, "%s %s is not valid: %s", what, quoted(name), reasonOf(err))
}

func parseEventStart(query url.Values, lastEventID string) (start session.Start, err error) {
	snapshot, err := single(query, "snapshot")
	if err != nil {
		return start, err
	}
	switch {
	case !query.Has("snapshot"), snapshot == "false":
	case snapshot == "true":
		start.Snapshot = true
	default:
		return start, refuse(codeInvalidRequest, "snapshot is neither true nor false")
	}
	since, err := single(query, "since")
	if err != nil {
		return start, err
	}
	what, given := "since", query.Has("since")
	if lastEventID != "" {
		since, what, given = lastEventID, "Last-Event-ID", true
	}
	if given {
		var ok bool
		if start.Since, ok = parseVersion(since); !ok {
			return start, refuse(codeInvalidRequest, "%s is not a revision, an integer of 0 or more", what)
		}
		start.Resume = true
	}
	return start, nil
}
