package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// catchUpLimit is the longest time that a snapshot may keep a ping waiting.
const catchUpLimit = 10 * time.Minute

// A link is one connection. It has a goroutine that reads and one that writes; the
// client's own goroutine pings.
type link struct {
	c      *Client
	conn   *websocket.Conn
	wire   io.Closer       // the connection below conn
	ctx    context.Context // ends with the connection; its cause says why
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup
	heard  atomic.Int64 // Unix nanoseconds of the last message

	pongs    chan struct{}
	expiring chan time.Duration // receives the time that is left until the token expires

	anonymous bool // no token was sent
	strange   bool // the server has answered a request that was not sent

	// These belong to renewals.
	token   string
	renewed time.Time
}

func newLink(c *Client, conn *websocket.Conn, wire io.Closer, token string) *link {
	l := &link{
		c: c, conn: conn, wire: wire, anonymous: token == "", token: token, renewed: time.Now(),
		pongs: make(chan struct{}, 1), expiring: make(chan time.Duration, 1),
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// serve uses a connection until it is lost or the client is closed, and returns why.
func (c *Client) serve(l *link) error {
	c.attach(l)
	l.tasks.Go(l.read)
	l.tasks.Go(l.write)
	if c.options.token != nil {
		l.tasks.Go(l.renewals)
	}
	c.options.logger.Info("rtdb: connected", "url", c.address.base.String())
	c.report(Open, nil)
	if !c.wasOpen() {
		close(c.opened)
	}
	l.watch()
	if c.ctx.Err() != nil {
		// The close frame says that the wills are not to be carried out.
		limit := time.AfterFunc(closeTimeout, func() { _ = l.wire.Close() })
		_ = l.conn.Close(websocket.StatusNormalClosure, "")
		limit.Stop()
		l.cancel(ErrClosed)
	}
	_ = l.conn.CloseNow()
	l.tasks.Wait()
	cause := context.Cause(l.ctx)
	if c.ctx.Err() != nil {
		cause = ErrClosed
	}
	c.detach(cause)
	return cause
}

// attach makes l the connection of the client, and sends the wills and the subscriptions.
func (c *Client) attach(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
	c.out.connect()
	for _, will := range c.wills {
		c.keepWill(will)
	}
	for _, s := range c.names {
		s.start()
	}
	for _, s := range c.patterns {
		s.start()
	}
}

// detach tells the subscriptions that the connection is lost, and settles the requests that
// cannot wait for another one.
func (c *Client) detach(cause error) {
	c.mu.Lock()
	c.link = nil
	c.mu.Unlock()
	c.doubts.Store(0)
	for _, s := range c.every() {
		s.lost()
	}
	c.out.disconnect(cause)
}

// watch pings the server until the connection ends. It gives up a connection whose server
// does not answer.
func (l *link) watch() {
	o := &l.c.options
	timer := time.NewTimer(o.pingAfter) // until the next ping, or until the pong is late
	defer timer.Stop()
	var asked time.Time // zero: no pong is due
	var doubted bool
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.c.ctx.Done():
			return
		case <-l.pongs:
			if doubted {
				l.c.doubt(latePong, false)
			}
			asked, doubted = time.Time{}, false
			timer.Reset(o.pingAfter)
		case <-timer.C:
			switch late := l.late(asked); {
			case asked.IsZero():
				asked = time.Now()
				l.ping()
				timer.Reset(o.pingTimeout / 4)
			case late >= o.pingTimeout:
				l.cancel(fmt.Errorf("rtdb: the server has not answered a ping for %v", late.Round(time.Millisecond)))
				return
			default:
				if late >= o.pingTimeout/4 && !doubted {
					doubted = true
					l.c.doubt(latePong, true)
				}
				timer.Reset(o.pingTimeout/4 + time.Millisecond)
			}
		}
	}
}

// late returns how long a pong is late. While a snapshot comes, which the server sends
// before the pong, the time since the last message counts.
func (l *link) late(asked time.Time) time.Duration {
	if heard := time.Unix(0, l.heard.Load()); l.c.isCatchingUp() && heard.After(asked) && time.Since(asked) < catchUpLimit {
		return time.Since(heard)
	}
	return time.Since(asked)
}

// ping asks for a sign of life, and for the revision up to which all updates have come.
func (l *link) ping() {
	err := l.c.out.add(&request{fields: newFields("ping"), kind: control, done: func(m *message, err error) {
		if err != nil {
			return
		}
		if m.Error == nil { // a refusal is a sign of life, too
			l.c.advance(m.Epoch, m.Revision)
		}
		l.pongs <- struct{}{}
	}})
	if err != nil {
		l.cancel(err)
	}
}

func (l *link) read() {
	for {
		kind, data, err := l.conn.Read(l.ctx)
		if err == nil && kind != websocket.MessageText {
			err = fmt.Errorf("%w: it sent a binary message", ErrNotRTDB)
		}
		if err == nil {
			l.heard.Store(time.Now().UnixNano())
			err = l.receive(data)
		}
		if err != nil {
			l.cancel(l.explain(err))
			return
		}
	}
}

func (l *link) receive(data []byte) error {
	m, err := parseMessage(data)
	if err != nil {
		return err
	}
	if m.ID == nil {
		l.notice(m)
		return nil
	}
	known, err := l.c.out.settle(string(m.ID), m)
	if !known && !l.strange {
		l.strange = true // one line for each connection
		l.c.options.logger.Warn("rtdb: the server answered a request that was not sent", "id", string(m.ID[:min(len(m.ID), 100)]))
	}
	return err
}

// notice takes a message that is not a reply.
func (l *link) notice(m *message) {
	switch {
	case m.Error != nil:
		l.c.options.logger.Warn("rtdb: the server sent an error that belongs to no request", "error", m.Error)
	case m.Key != "":
		l.c.update(m)
	case m.Topic != "":
		l.c.message(m)
	case m.Pattern != "":
		l.c.gap(m)
	case m.Action == "auth":
		select {
		case l.expiring <- time.Duration(m.Seconds * float64(time.Second)):
		default:
		}
	case m.Action == "stale":
		l.c.doubt(behindServer, true)
	case m.Action == "fresh":
		l.c.doubt(behindServer, false)
	}
}

// write sends requests until the connection ends or the client is closed: nothing may follow
// the close frame, and the connection must stay until the server has answered it.
func (l *link) write() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.c.ctx.Done():
			return
		case <-l.c.out.ready:
		}
		for data := l.c.out.next(); data != nil; data = l.c.out.next() {
			err := l.conn.Write(l.ctx, websocket.MessageText, data)
			if l.c.ctx.Err() != nil {
				return
			}
			if err != nil {
				l.cancel(l.explain(err))
				return
			}
		}
	}
}

// explain returns why the connection has ended. It is a finalError if the client must not
// connect again.
func (l *link) explain(err error) error {
	var frame websocket.CloseError
	switch {
	case !errors.As(err, &frame):
		return fmt.Errorf("rtdb: the connection to %s was lost: %w", l.c.address.base, err)
	case frame.Code == statusReplaced:
		return &finalError{fmt.Errorf("%w (%w)", ErrReplaced, closedBy(frame))}
	case l.anonymous && needsToken(frame):
		return &finalError{fmt.Errorf("%w: the server needs a token: give one with WithToken (%w)", ErrUnauthorized, closedBy(frame))}
	}
	return closedBy(frame)
}
