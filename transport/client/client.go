package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A State is the state of a client's connection.
type State int

const (
	Connecting State = iota // an attempt to connect is under way
	Open                    // the server answers
	Waiting                 // the connection is lost, and the next attempt comes later
	Closed                  // the client has ended for good
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Open:
		return "open"
	case Waiting:
		return "waiting"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// A Client keeps a connection to a server, and makes it again whenever it is lost. Any
// number of goroutines may use it. [Dial] makes one.
type Client struct {
	options options
	address address
	http    *http.Client
	ownHTTP bool
	out     *outbox
	keys    *keyMaker

	ctx     context.Context // ends when Close is called
	cancel  context.CancelFunc
	running sync.WaitGroup
	opened  chan struct{} // closed when the first connection is up
	ended   chan struct{} // closed when the client has ended for good
	doubts  atomic.Uint32 // of type doubt; 0 without a connection

	mu       sync.Mutex
	state    State
	reason   error // why the client is not open; of Closed, the final error
	link     *link // nil: there is no connection
	token    string
	wills    map[target]fields // set again with each connection
	patterns map[selector]*subscription
	names    map[selector]*subscription
}

// Dial connects to the server at a URL, such as http://localhost:8080 or
// wss://db.example.com. The API's paths come below the URL's path.
//
// Dial returns when the connection is up. It fails at once if no later attempt can
// succeed: the URL is wrong, the token is refused, the certificate is not trusted, or the
// server is not rtdb ([ErrNotRTDB]). If the server cannot be reached or is not ready, Dial
// tries again until ctx ends, so give it a context with a deadline. Later, ctx has no
// effect on the client, which lives until [Client.Close].
func Dial(ctx context.Context, url string, opts ...Option) (*Client, error) {
	a, err := parseAddress(url)
	if err != nil {
		return nil, err
	}
	c := &Client{
		options: newOptions(opts), address: a, out: newOutbox(), keys: new(keyMaker),
		opened: make(chan struct{}), ended: make(chan struct{}),
		wills:    make(map[target]fields),
		patterns: make(map[selector]*subscription), names: make(map[selector]*subscription),
	}
	if n := len(c.options.name); n > 128 {
		return nil, fmt.Errorf("rtdb: the client's name has at most 128 bytes but this one has %d", n)
	}
	c.http, c.ownHTTP = c.options.httpClient()
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.running.Go(c.run)
	select {
	case <-c.opened:
		return c, nil
	case <-c.ended:
		_ = c.Close()
		_, cause := c.State()
		return nil, cause
	case <-ctx.Done():
		err := fmt.Errorf("rtdb: no connection to %s: %w", a.base, ctx.Err())
		if _, last := c.State(); last != nil {
			err = fmt.Errorf("%w: the last attempt failed: %w", err, last)
		}
		_ = c.Close()
		return nil, err
	}
}

// Close ends the client, and returns when all of its goroutines have ended. If the
// connection is up, the server does not carry out the wills of the client. Every call and
// loop that waits fails with [ErrClosed].
func (c *Client) Close() error {
	c.cancel()
	c.running.Wait()
	return nil
}

// State returns the state and, if the client is not open, the error of the last attempt or
// of the lost connection.
func (c *Client) State() (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.reason
}

// run keeps a connection until the client ends.
func (c *Client) run() {
	waits := backoff{min: c.options.backoffMin, max: c.options.backoffMax, random: rand.Int64N}
	var refused refusals
	for {
		c.report(Connecting, nil)
		l, err := c.connect()
		if err == nil {
			began := time.Now()
			err = c.serve(l)
			if time.Since(began) >= stableAfter {
				waits.reset()
			}
		}
		if c.ctx.Err() != nil {
			c.end(ErrClosed)
			return
		}
		if refused.areFinal(err, c.lastToken(), c.wasOpen()) {
			c.end(err)
			return
		}
		wait := waits.next()
		var failed *attemptError
		if errors.As(err, &failed) {
			wait = max(wait, min(failed.after, c.options.backoffMax))
		}
		c.options.logger.Warn("rtdb: no connection", "url", c.address.base.String(), "error", err, "retry_in", wait)
		c.report(Waiting, err)
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
		}
	}
}

// end settles everything that waits.
func (c *Client) end(cause error) {
	c.mu.Lock()
	c.state, c.reason = Closed, cause // no subscription is added from now on
	c.mu.Unlock()
	c.out.close(failureOf(cause))
	for _, s := range c.every() {
		s.end(failureOf(cause))
	}
	if c.ownHTTP {
		c.http.CloseIdleConnections()
	}
	if cause != ErrClosed {
		c.options.logger.Error("rtdb: the client has ended", "url", c.address.base.String(), "error", cause)
	}
	c.options.onState(Closed, cause)
	close(c.ended)
}

// failureOf returns the error of a call or loop whose client has ended: ErrClosed, with the
// cause if the owner has not closed the client.
func failureOf(cause error) error {
	if cause == ErrClosed {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrClosed, cause)
}

func (c *Client) report(s State, reason error) {
	c.mu.Lock()
	c.state = s
	if s != Connecting {
		c.reason = reason
	}
	c.mu.Unlock()
	c.options.onState(s, reason)
}

func (c *Client) wasOpen() bool {
	select {
	case <-c.opened:
		return true
	default:
		return false
	}
}

// explainOffline adds to ErrOffline why there is no connection.
func (c *Client) explainOffline(err error) error {
	if state, reason := c.State(); errors.Is(err, ErrOffline) && state != Open && reason != nil {
		return fmt.Errorf("%w: %w", err, reason)
	}
	return err
}
