package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ListOptions say which keys to list. The zero value means all.
type ListOptions struct {
	Prefix   string // keys that begin with it
	Pattern  string // keys that match it
	After    string // keys after it, or before it if Reverse
	Reverse  bool   // the last keys first
	PageSize int    // keys in one request, 1 to 1000; 0 means 100
}

// List yields the entries of keys in their order. It asks the server for one page after
// another over HTTP, so keys that are written meanwhile may be left out. If a page does not
// come, List asks for it again until the write timeout. The loop ends with its first error.
func List[T any](ctx context.Context, c *Client, o ListOptions) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		for {
			p, err := c.listPage(ctx, o.query())
			if err != nil {
				yield(Entry[T]{}, fmt.Errorf("list: %w", err))
				return
			}
			for i := range p.Items {
				e, err := decodeEntry[T](&p.Items[i])
				if !yield(e, err) || err != nil {
					return
				}
			}
			if p.Next == "" {
				return
			}
			o.After = p.Next
		}
	}
}

// A page is the answer to a request for a list. Levels come only if they were asked for.
type page struct {
	Items  []message `json:"items"`
	Levels []level   `json:"prefixes"`
	Next   string    `json:"next"`
}

// query returns the query of a page.
func (o *ListOptions) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"prefix": o.Prefix, "pattern": o.Pattern, "after": o.After} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if o.Reverse {
		q.Set("reverse", "true")
	}
	if o.PageSize != 0 {
		q.Set("limit", strconv.Itoa(o.PageSize))
	}
	return q
}

// listPage reads a page, and tries again while the reason of a failure may pass.
func (c *Client) listPage(ctx context.Context, q url.Values) (*page, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	began := time.Now()
	waits := backoff{min: c.options.backoffMin, max: c.options.backoffMax, random: rand.Int64N}
	for {
		p := new(page)
		err := c.call(ctx, http.MethodGet, q, p)
		var failed *attemptError
		switch {
		case err == nil && p.Next != "" && p.Next == q.Get("after"):
			return nil, fmt.Errorf("rtdb: the server answered the page after %q with the same page again", p.Next)
		case err == nil:
			return p, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.As(err, &failed) || failed.permanent:
			return nil, err
		}
		wait := max(waits.next(), min(failed.after, c.options.backoffMax))
		if time.Since(began)+wait > c.options.writeTimeout {
			return nil, fmt.Errorf("%w: %w", ErrOffline, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
