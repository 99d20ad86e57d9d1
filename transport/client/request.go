package client

import (
	"container/list"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// A kind tells how the outbox treats a request while there is no connection.
type kind int

const (
	write   kind = iota // waits for a connection; once sent, it is not sent again
	read                // waits for a connection; sent again if no reply came
	publish             // is not kept without a connection; once sent, it is not sent again
	control             // belongs to one connection
)

// A request is a message that the server answers.
type request struct {
	fields fields
	kind   kind
	done   func(*message, error) // called once, and must not block

	// The outbox guards these.
	id      uint64        // 0: not sent yet
	place   *list.Element // in the queue; nil if it is in none
	givenUp bool          // do not send again
}

// An outbox holds the requests that are not answered. The server answers in the order
// sent.
type outbox struct {
	ready chan struct{} // has room for one; gets an element if something can be sent

	mu       sync.Mutex
	open     bool       // there is a connection
	closed   error      // not nil: no request is taken any more
	controls *list.List // of *request; sent before the others
	queue    *list.List // of *request
	sent     *list.List // of *request, in the order of their ids
	last     uint64     // the newest id
	answered uint64     // the newest id that was answered, or that needs no answer
}

func newOutbox() *outbox {
	return &outbox{ready: make(chan struct{}, 1), controls: list.New(), queue: list.New(), sent: list.New()}
}

// add takes a request. It returns an error if the request cannot wait.
func (o *outbox) add(r *request) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed != nil:
		return o.closed
	case r.kind >= publish && !o.open:
		return ErrOffline
	case r.kind == control:
		r.place = o.controls.PushBack(r)
	default:
		r.place = o.queue.PushBack(r)
	}
	o.wake()
	return nil
}

func (o *outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// next returns the next message to send, or nil.
func (o *outbox) next() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.controls
	if q.Len() == 0 {
		q = o.queue
	}
	front := q.Front()
	if front == nil || !o.open {
		return nil
	}
	r := q.Remove(front).(*request)
	o.last++
	r.id, r.place = o.last, nil
	o.sent.PushBack(r)
	b := make([]byte, 0, len(r.fields)+32)
	b = append(b, `{"id":`...)
	b = strconv.AppendUint(b, r.id, 10)
	b = append(b, ',')
	b = append(b, r.fields...)
	return append(b, '}')
}

// withdraw takes a request out of the queue, or reports that it was sent. Then it will
// not be sent again.
func (o *outbox) withdraw(r *request) (sent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.givenUp = true
	if r.place == nil {
		return true
	}
	o.queue.Remove(r.place)
	r.place = nil
	return false
}

// settle hands a reply to its request. It returns an error if the server has left out an
// earlier reply, and false if there is no such request.
func (o *outbox) settle(id string, m *message) (known bool, err error) {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return false, nil
	}
	o.mu.Lock()
	front := o.sent.Front()
	if front == nil || n < front.Value.(*request).id || n > o.last {
		o.mu.Unlock()
		return false, nil
	}
	if due := front.Value.(*request).id; n > due {
		o.mu.Unlock()
		return true, fmt.Errorf("rtdb: the server answered request %d before request %d", n, due)
	}
	r := o.sent.Remove(front).(*request)
	o.answered = n
	o.mu.Unlock()
	r.done(m, nil)
	return true, nil
}

// begun reports whether the server has begun with a request: it was sent, and the
// one before it is answered.
func (o *outbox) begun(r *request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return r.id != 0 && o.answered >= r.id-1
}

// connect lets requests be sent. Requests that wait stay in the queue.
func (o *outbox) connect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.answered = true, o.last
	o.wake()
}

// disconnect settles the requests that cannot wait for another connection.
func (o *outbox) disconnect(cause error) {
	o.mu.Lock()
	o.open = false
	var offline, unknown []*request
	for e := o.sent.Back(); e != nil; e = o.sent.Back() { // the last one first, because each goes to the front
		r := o.sent.Remove(e).(*request)
		switch {
		case r.kind == read && !r.givenUp && o.closed == nil:
			r.id = 0
			r.place = o.queue.PushFront(r)
		case r.kind == read:
			offline = append(offline, r)
		default:
			unknown = append(unknown, r)
		}
	}
	for e := o.queue.Front(); e != nil; {
		r, here := e.Value.(*request), e
		e = e.Next()
		if r.kind == publish {
			o.queue.Remove(here)
			offline = append(offline, r)
		}
	}
	for e := o.controls.Front(); e != nil; e = o.controls.Front() {
		offline = append(offline, o.controls.Remove(e).(*request))
	}
	for _, r := range offline {
		r.place = nil
	}
	o.mu.Unlock()
	for _, r := range offline {
		r.done(nil, fmt.Errorf("%w: %w", ErrOffline, cause))
	}
	for _, r := range unknown {
		r.done(nil, fmt.Errorf("%w: the connection was lost before the reply came: %w", ErrUnknownOutcome, cause))
	}
}

// close fails the requests that wait, and each later one. The caller has called
// disconnect.
func (o *outbox) close(cause error) {
	o.mu.Lock()
	o.closed = cause
	var all []*request
	for e := o.queue.Front(); e != nil; e = o.queue.Front() {
		r := o.queue.Remove(e).(*request)
		r.place = nil
		all = append(all, r)
	}
	o.mu.Unlock()
	for _, r := range all {
		r.done(nil, cause)
	}
}

// do sends a request and waits for its reply. An error reply is returned as an *Error.
//
// The wait always ends. A request that is not sent fails after the write timeout. A request
// that is sent fails with its connection: the server answers requests and pings in turn, and
// the client gives up a connection without answers to its pings.
func (c *Client) do(ctx context.Context, k kind, f fields) (*message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	results := make(chan result, 1)
	r := &request{fields: f, kind: k, done: func(m *message, err error) { results <- result{m, err} }}
	if err := c.out.add(r); err != nil {
		return nil, c.explainOffline(err)
	}
	timeout := time.NewTimer(c.options.writeTimeout)
	defer timeout.Stop()
	for {
		select {
		case got := <-results:
			return got.reply()
		case <-timeout.C:
			if !c.out.withdraw(r) {
				return nil, c.explainOffline(fmt.Errorf("%w: the request was not sent within %v", ErrOffline, c.options.writeTimeout))
			}
		case <-ctx.Done():
			sent := c.out.withdraw(r)
			select {
			case got := <-results:
				return got.reply()
			default:
			}
			if sent && k != read {
				return nil, fmt.Errorf("%w: the reply had not come when the context ended: %w", ErrUnknownOutcome, ctx.Err())
			}
			return nil, ctx.Err()
		}
	}
}

// A result is the outcome of a request.
type result struct {
	m   *message
	err error
}

func (r result) reply() (*message, error) {
	if r.err == nil && r.m.Error != nil {
		return nil, r.m.Error
	}
	return r.m, r.err
}
