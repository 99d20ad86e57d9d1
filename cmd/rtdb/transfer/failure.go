package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// A ServerError is an error that the server answered: to a request, or for one item of a
// batch.
type ServerError struct {
	Code       string        `json:"code"` // of the contract; empty if a proxy answered
	Message    string        `json:"message"`
	Status     int           `json:"-"` // of HTTP; 0 for an item
	RetryAfter time.Duration `json:"-"` // 0 if the server does not send it
}

func (e *ServerError) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Message + " (" + e.Code + ")"
}

// isTemporary reports whether the same request may succeed later.
func (e *ServerError) isTemporary() bool {
	switch e.Code {
	case "rate_limited", "unavailable":
		return true
	}
	return e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
}

// maxErrorBytes is the most that is read of the body of an error.
const maxErrorBytes = 64 << 10

func readServerError(status int, header http.Header, body io.Reader) error {
	var answer struct{ Error ServerError }
	text, err := io.ReadAll(io.LimitReader(body, maxErrorBytes))
	if err != nil || json.Unmarshal(text, &answer) != nil || answer.Error.Code == "" {
		answer.Error = ServerError{Message: fmt.Sprintf("the server answered %d %s: check that the URL is that of an rtdb server", status, http.StatusText(status))}
		if location := header.Get("Location"); location != "" {
			answer.Error.Message = fmt.Sprintf("the server answered %d and redirects to %s: use that address as --url", status, location)
		}
	}
	e := &answer.Error
	e.Status = status
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// A lostError means that the connection to a server that has answered before was lost.
type lostError struct{ err error }

func (e *lostError) Error() string { return "the connection to the server was lost: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// ErrInterrupted is returned if the context has ended.
var ErrInterrupted = errors.New("interrupted")

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// A retrier decides whether a request is made again. Its zero value has seen no failure.
type retrier struct {
	failing time.Time // of the first failure since the last success
	pause   time.Duration
}

// succeeded says that a request, or a part of it, has succeeded.
func (r *retrier) succeeded() { *r = retrier{} }

// wait waits until the request that failed with err should be made again. It returns an
// error if it should not.
func (r *retrier) wait(ctx context.Context, err error, patience time.Duration) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	var refused *ServerError
	var lost *lostError
	switch {
	case errors.As(err, &refused) && refused.isTemporary():
	case errors.As(err, &lost):
	default:
		return err
	}
	if r.failing.IsZero() {
		r.failing, r.pause = time.Now(), firstPause
	}
	pause := r.pause/2 + rand.N(r.pause)
	r.pause = min(2*r.pause, longestPause)
	if refused != nil {
		pause = max(pause, refused.RetryAfter)
	}
	if time.Since(r.failing)+pause > patience {
		return fmt.Errorf("%w; it was tried again for %v", err, time.Since(r.failing).Round(time.Second))
	}
	select {
	case <-ctx.Done():
		return ErrInterrupted
	case <-time.After(pause):
		return nil
	}
}
