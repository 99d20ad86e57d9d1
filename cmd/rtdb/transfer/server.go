package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// DefaultPatience is the Patience of a Server that does not set one.
const DefaultPatience = time.Minute

const dialTimeout = 10 * time.Second

// A Server is the address of a server, and how to talk to it. URL must be set.
type Server struct {
	URL    string // http or https; the API's paths come below its path
	Socket string // path of the Unix socket to connect to; empty means the address in URL
	Token  string // bearer token (RFC 6750), if not empty

	// Patience is the longest time for which a request is tried again without success, and
	// for which a server may send nothing. 0 means DefaultPatience.
	Patience time.Duration
}

// Validate returns an error that names the flag of the field that is wrong, or nil.
func (s Server) Validate() error {
	_, err := s.parseURL()
	return err
}

func (s Server) parseURL() (*url.URL, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" {
		shown := s.URL
		if err == nil {
			shown = u.Redacted()
		}
		return nil, fmt.Errorf("--url ($RTDB_URL): expected a URL like http://localhost:8080 but got %q", shown)
	}
	return u, nil
}

// A client makes requests to a server. Any number of goroutines may use it.
type client struct {
	base     *url.URL
	http     http.Client
	token    string
	patience time.Duration
	reached  atomic.Bool // the server has answered
}

func newClient(s Server) (*client, error) {
	base, err := s.parseURL()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: importers,
		DisableCompression:  true,
	}
	if s.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", s.Socket)
		}
	}
	return &client{
		base: base, token: s.Token, patience: cmp.Or(s.Patience, DefaultPatience),
		http: http.Client{
			Transport: t,
			// A redirect would turn a POST into a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// errStalled ends a request whose server sends nothing.
var errStalled = errors.New("the server has stopped sending")

// do makes a request and returns the body of the response, which the caller closes. If
// the status is not 200, it returns a *ServerError. query is encoded, and may be empty.
func (c *client) do(ctx context.Context, method, path, query string, body []byte) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	u := c.base.JoinPath(path)
	u.RawQuery = query
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	watch := &watchedBody{cancel: cancel, ctx: ctx, patience: c.patience}
	watch.timer = time.AfterFunc(c.patience, func() { cancel(errStalled) })
	response, err := c.http.Do(r)
	watch.timer.Stop()
	if err != nil {
		err = c.unreachable(watch.explain(err))
		cancel(nil)
		return nil, err
	}
	c.reached.Store(true)
	watch.body = response.Body
	if response.StatusCode != http.StatusOK {
		defer watch.Close()
		return nil, readServerError(response.StatusCode, response.Header, watch)
	}
	return watch, nil
}

// unreachable returns the error of a request that got no response.
func (c *client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the method and the URL
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if !c.reached.Load() {
		return fmt.Errorf("cannot reach the server: %w: check --url, or --host and --port", err)
	}
	return &lostError{err}
}

// A watchedBody is the body of a response. A read fails with errStalled if nothing
// arrives for the patience. The time between two reads does not count, because the
// output of an export may be slow.
type watchedBody struct {
	body     io.ReadCloser
	ctx      context.Context // of the request
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
}

// Read reads from the body.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.patience)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = &lostError{b.explain(err)}
	}
	return n, err
}

// explain returns the cause if the request was cancelled, else err.
func (b *watchedBody) explain(err error) error {
	if cause := context.Cause(b.ctx); cause != nil {
		return cause
	}
	return err
}

// Close ends the request.
func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.body.Close()
	b.cancel(nil)
	return err
}
