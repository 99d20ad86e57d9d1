package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// DeletePattern deletes the keys that match a pattern, each by a delete of its own, and
// returns their number. It sends one request after another over HTTP, each for up to 1000
// keys. A key that is written meanwhile may stay.
//
// After an error, deleted is the number of deletes that the server has confirmed. If a
// request got no answer, the error is [ErrUnknownOutcome]: call DeletePattern again to delete
// the rest.
func DeletePattern(ctx context.Context, c *Client, pattern string) (deleted int, err error) {
	q := url.Values{"pattern": {pattern}, "limit": {strconv.Itoa(maxDeletes)}}
	for {
		var answer struct {
			Deleted int    `json:"deleted"`
			Next    string `json:"next"`
		}
		if err := c.deletePage(ctx, q, &answer); err != nil {
			return deleted, fmt.Errorf("delete the keys that match %q: %w", pattern, err)
		}
		deleted += answer.Deleted
		switch answer.Next {
		case "":
			return deleted, nil
		case q.Get("after"):
			return deleted, fmt.Errorf("delete the keys that match %q: rtdb: the server answered the page after %q with the same page again", pattern, answer.Next)
		}
		q.Set("after", answer.Next)
	}
}

// maxDeletes is the most keys that the server deletes in one request.
const maxDeletes = 1000

func (c *Client) deletePage(ctx context.Context, q url.Values, answer any) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	err := c.call(ctx, http.MethodDelete, q, answer)
	var refused *Error
	switch {
	case err == nil, errors.As(err, &refused), errors.Is(err, ErrUnauthorized), errors.Is(err, ErrForbidden), errors.Is(err, ErrNotRTDB):
		return err
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}
