package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// refusalLimit is how many times in a row a server may refuse the same token before the
// client ends. A function that gives tokens may lag behind for a while.
const refusalLimit = 5

// A refusals counts how often the same token was refused.
type refusals struct {
	token string
	count int
}

// areFinal reports whether no later attempt can succeed after err.
func (r *refusals) areFinal(err error, token string, wasOpen bool) bool {
	var final *finalError
	var failed *attemptError
	if errors.As(err, &final) || errors.As(err, &failed) && failed.permanent && !wasOpen {
		return true
	}
	if !errors.Is(err, ErrUnauthorized) {
		r.count = 0
		return false
	}
	if token != r.token {
		r.token, r.count = token, 0
	}
	r.count++
	return token == "" || r.count >= refusalLimit
}

// askToken returns the token to use from now on, or "" if the client uses no token.
func (c *Client) askToken(ctx context.Context) (token string, err error) {
	if c.options.token == nil {
		return "", nil
	}
	token, err = c.options.token(ctx)
	switch {
	case errors.Is(err, ErrUnauthorized):
		return "", &finalError{fmt.Errorf("rtdb: there is no token: %w", err)}
	case err != nil:
		return "", &attemptError{err: fmt.Errorf("rtdb: there is no token: %w", err)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
	return token, nil
}

// lastToken returns the token that was given last.
func (c *Client) lastToken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// renewals renews the token each time the server says that it expires soon.
func (l *link) renewals() {
	for {
		select {
		case left := <-l.expiring:
			l.renew(left)
		case <-l.ctx.Done():
			return
		}
	}
}

// renew gives the server a new token before the one of the connection expires. If it fails,
// the server ends the connection when the token has expired, and the client connects again.
func (l *link) renew(left time.Duration) {
	wait := time.Duration(0)
	if time.Since(l.renewed) < stableAfter { // tokens are so short-lived that the server announces the end of each at once
		wait = max(left/2, time.Second)
	}
	for waits := (backoff{min: time.Second, max: 10 * time.Second, random: func(n int64) int64 { return n - 1 }}); ; wait = waits.next() {
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
			return
		}
		token, err := l.c.askToken(l.ctx)
		var final *finalError
		switch {
		case errors.As(err, &final):
			l.cancel(err)
			return
		case err == nil && token == l.token:
			err = errors.New("rtdb: the function of WithToken returned the same token again")
		case err == nil:
			err = l.authenticate(token)
		}
		if err == nil {
			l.token, l.renewed = token, time.Now()
			return
		}
		l.c.options.logger.Warn("rtdb: the token expires soon and was not renewed", "error", err)
	}
}

// authenticate sends a token, and then the client's name if it has one: the server forgets
// the name if the new token has another subject.
func (l *link) authenticate(token string) error {
	m, err := l.ask(newFields("auth").text("token", token))
	if err != nil {
		return err
	}
	l.c.subscribeAgain(l, m.Ended)
	if l.c.options.name == "" {
		return nil
	}
	_, err = l.ask(newFields("hello").text("client", l.c.options.name))
	return err
}

// ask sends a request over this connection and waits for the reply.
func (l *link) ask(f fields) (*message, error) {
	results := make(chan result, 1)
	err := l.c.out.add(&request{fields: f, kind: control, done: func(m *message, err error) { results <- result{m, err} }})
	if err != nil {
		return nil, err
	}
	select {
	case got := <-results:
		return got.reply()
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

// needsToken reports whether the server ended a connection because no token came.
func needsToken(e websocket.CloseError) bool {
	return e.Code == websocket.StatusPolicyViolation && strings.Contains(e.Reason, "no token")
}
