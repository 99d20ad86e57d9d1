package transport

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/auth"
	"rtdb/transport/rawjson"
	"rtdb/transport/socket"
)

// heartbeatInterval is how often a comment is sent.
const heartbeatInterval = 15 * time.Second

const eventType = "text/event-stream"

// eventStreams is the endpoint of server-sent events (WHATWG HTML, section 9.2).
type eventStreams struct {
	*core
	pool             *actor.Pool // writes to the clients whose connections were taken over
	plain, versioned *session.Encoder
}

func newEventStreams(c *core, pool *actor.Pool) *eventStreams {
	return &eventStreams{
		core: c, pool: pool,
		plain:     newEventEncoder(plainEventForm, appendPlain, c.keyspace.Epoch),
		versioned: newEventEncoder(versionedEventForm, appendVersioned, c.keyspace.Epoch),
	}
}

func (x *eventStreams) serve(w *response, r *http.Request) error {
	targets, err := parseTargets(w.query)
	if err != nil {
		return err
	}
	start, err := parseStart(w.query, r.Header)
	if err != nil {
		return err
	}
	versioned, err := parseProtocol(w.query)
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
	s := &eventStream{core: x.core, who: w.principal, start: start}
	taken, err := s.connect(w, r)
	if err != nil {
		x.clients.release(eventClient)
		return err
	}
	o := session.Options{Revisions: true, Encoder: x.plain}
	if versioned {
		o.Encoder = x.versioned
	}
	if taken {
		o.Pool = x.pool
	}
	x.open(&s.client, eventClient, w.remote, s, o)
	s.begin(streamStart(time.Second, knownEventID(w.query, r.Header)), targets)
	if taken {
		go s.serve() // net/http's goroutine, with its buffers, is free
	} else {
		s.serve()
	}
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

// An eventConn is the connection of an event stream: a [socket.Stream], which was taken over,
// or a [socket.HTTPStream]. The session's actor calls Begin, TryWrite, Write and End.
type eventConn interface {
	Start(s socket.Session, first []byte) // first comes before all texts
	Begin() []byte                        // returns a buffer for the next text
	TryWrite(text []byte) (done bool, err error)
	Write(text []byte) error // may block while the client takes a byte now and then
	End(text []byte)         // writes the last text; takes socket.CloseTimeout at most
	Cut()                    // makes a write under way fail
	Await(gone func(error))  // waits for the end; calls gone if the client ends it
	Sent() uint64
}

// An eventStream is a client that receives server-sent events.
type eventStream struct {
	own  socket.Stream // first, because each write begins there; used if the connection was taken over
	conn eventConn

	// These fields belong to the session's actor, once the stream has begun. They stand beside
	// own and conn because each delivery uses them.
	epoch    string // of revision
	revision uint64 // the client may resume from it
	synced   bool   // the mark was sent

	beat   atomic.Bool // a comment is due
	marked uint64      // revision from the mark on; belongs to the session's actor

	client
	core        *core
	who         *auth.Principal
	credentials *credentials // nil: they do not expire
	start       session.Start
	heart       socket.Heartbeat
	cancel      context.CancelFunc // ends the subscribing
	subscribing sync.WaitGroup
}

// connect takes the connection of a request over, if that is possible. Otherwise net/http
// writes the stream, and the request's handler must serve it.
func (s *eventStream) connect(w *response, r *http.Request) (taken bool, err error) {
	eventHeader(w)
	switch taken, err = s.own.Accept(w, r); {
	case err != nil:
		return false, err
	case taken:
		s.conn, w.status = &s.own, http.StatusOK
	default:
		s.conn, err = socket.NewHTTPStream(w, r)
	}
	return taken, err
}

// begin starts the stream with its first lines, and subscribes the client. serve comes after
// it, and waits until the client is subscribed.
func (s *eventStream) begin(first []byte, targets []keyspace.Target) {
	s.conn.Start(s.session, append(first, '\n'))
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
	ctx, cancel := context.WithCancel(s.core.lifetime)
	s.cancel = cancel
	if s.who != nil && !s.who.Expires.IsZero() {
		s.credentials = newCredentials(s.who, func(time.Duration) {}, s.session.Close)
	}
	s.core.enter(&s.client)
	s.heart.Start(heartbeatInterval, func() {
		s.beat.Store(true)
		s.session.Flush()
	})
	s.core.clients.inform(&s.client)
	s.subscribing.Go(func() {
		defer cancel()
		s.session.Cork() // the mark does not wait for the pool, and goes out with the first lines
		err := s.session.Subscribe(ctx, targets, s.start, s.mark)
		s.session.Uncork()
		if err != nil && !s.session.Ending() {
			s.session.Abort(err)
		}
	})
}

// serve waits for the end of the stream.
func (s *eventStream) serve() {
	defer s.core.clients.release(eventClient)
	s.conn.Await(func(gone error) {
		s.session.Abort(gone)
		s.conn.Cut() // a write under way must not wait
	})
	s.heart.Stop()
	s.cancel()
	s.subscribing.Wait()
	s.core.leave(&s.client, 1, func() {
		if s.credentials != nil {
			s.credentials.stop()
		}
	})
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

// TrySend implements [session.Conn].
func (s *eventStream) TrySend(messages []session.Message) (done bool, err error) {
	if done, err = s.conn.TryWrite(s.text(messages)); done && err == nil {
		s.core.metrics.delivered(messages)
	}
	return done, err
}

// Send implements [session.Conn].
func (s *eventStream) Send(messages []session.Message) error {
	err := s.conn.Write(s.text(messages))
	if err == nil {
		s.core.metrics.delivered(messages)
	}
	return err
}

// text returns the text of messages.
func (s *eventStream) text(messages []session.Message) []byte {
	text := s.conn.Begin()
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
		text = s.appendEvent(text, m)
	}
	return text
}

// appendEvent appends the event of a message. From the mark on ids never go down: a client that
// has everything up to one id also has everything up to an earlier one. In most cases the id is
// the update's, which is in the text that the streams share. To make it for each stream took 8%
// of the CPU (BenchmarkFanoutEvents/window=200).
func (s *eventStream) appendEvent(text []byte, m *session.Message) []byte {
	event, revision := m.Text(), m.Revision()
	higher := s.synced && revision >= s.revision
	if higher {
		s.revision = revision
	}
	if higher && m.Alone() {
		return append(text, event...)
	}
	text = appendEventID(text, s.epoch, s.revision)
	return append(text, event[bytes.IndexByte(event, '\n')+1:]...)
}

// Close implements [session.Conn]. It tells the client why the server ends the stream,
// unless the client has gone or is cut off, or the last event is torn: a client would take
// the end for a part of that event.
func (s *eventStream) Close(cause error) {
	s.cancel()
	end := endingOf(cause)
	if end.silent {
		s.conn.End(nil)
		return
	}
	why := rawjson.Builder(nil).String("reason", end.reason).Uint("code", uint64(end.code)).End()
	s.conn.End(fmt.Appendf(s.conn.Begin(), "event: end\ndata: %s\n\n", why))
}

// hangUp implements link.
func (s *eventStream) hangUp(cause error) { s.session.Close(cause) }

// abort implements link.
func (s *eventStream) abort(cause error) {
	s.session.Abort(cause)
	s.conn.Cut()
}

// sent implements link.
func (s *eventStream) sent() uint64 { return s.conn.Sent() }
