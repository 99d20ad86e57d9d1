package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswerBytes is the longest answer over HTTP that is read.
const maxAnswerBytes = 256 << 20

// call makes one request about many keys over HTTP, and parses the answer. The error is an
// attemptError if there was no answer, or if the server refused the request.
func (c *Client) call(ctx context.Context, method string, q url.Values, answer any) error {
	const timeout = 3 * connectTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("rtdb: no answer within %v", timeout))
	defer cancel()
	token, err := c.askToken(ctx)
	if err != nil {
		return err
	}
	u := c.address.base.JoinPath("data")
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return &attemptError{err: fmt.Errorf("rtdb: cannot reach %s: %w", c.address.base, withoutURL(err)), permanent: isPermanent(err)}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return c.readRefusal(response)
	}
	switch err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, maxAnswerBytes)).Decode(answer); {
	case isNotJSON(err), err == nil && !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json"):
		return fmt.Errorf("%w: %s answered a request about keys with something else: check the URL", ErrNotRTDB, c.address.base)
	case err != nil:
		return &attemptError{err: fmt.Errorf("rtdb: the answer of %s was cut off: %w", c.address.base, err)}
	}
	return nil
}

func isNotJSON(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind)
}
