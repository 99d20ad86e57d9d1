package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// subprotocol is the WebSocket subprotocol of rtdb. Its updates have versions.
const subprotocol = "rtdb.v1"

// An attemptError is the reason of a failed attempt to connect.
type attemptError struct {
	err       error
	permanent bool          // each later attempt fails, too, unless the cause is removed
	after     time.Duration // the wait that the server asks for; 0: none
}

func (e *attemptError) Error() string { return e.err.Error() }

func (e *attemptError) Unwrap() error { return e.err }

// A finalError ends the client, even if it was connected before.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }

func (e *finalError) Unwrap() error { return e.err }

// connect makes one attempt to connect.
func (c *Client) connect() (*link, error) {
	ctx, cancel := context.WithTimeoutCause(c.ctx, connectTimeout,
		fmt.Errorf("rtdb: %s did not answer within %v", c.address.base, connectTimeout))
	defer cancel()
	token, err := c.askToken(ctx)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	wire := &wire{RoundTripper: cmp.Or(c.http.Transport, http.DefaultTransport)}
	h := *c.http
	h.Transport = wire
	conn, response, err := websocket.Dial(ctx, c.address.socket, &websocket.DialOptions{
		HTTPClient: &h, HTTPHeader: header, Subprotocols: []string{subprotocol},
	})
	if err != nil {
		return nil, c.explainAttempt(ctx, response, err)
	}
	if conn.Subprotocol() != subprotocol {
		_ = conn.CloseNow()
		return nil, &attemptError{permanent: true, err: fmt.Errorf(
			"%w: the WebSocket at %s does not speak %s: check the URL", ErrNotRTDB, c.address.socket, subprotocol)}
	}
	conn.SetReadLimit(maxMessageBytes)
	l := newLink(c, conn, wire.body, token)
	c.doubts.Store(0) // of an attempt that failed; the server may be behind others, and says so before its reply
	if err := l.greet(ctx); err != nil {
		_ = conn.CloseNow()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return l, nil
}

// explainAttempt returns why the server could not be reached, or has not accepted the
// WebSocket.
func (c *Client) explainAttempt(ctx context.Context, response *http.Response, err error) error {
	if response == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &attemptError{err: fmt.Errorf("rtdb: cannot reach %s: %w", c.address.base, withoutURL(err)), permanent: isPermanent(err)}
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return &attemptError{permanent: true, err: fmt.Errorf("%w: %s gave a wrong answer to the handshake of a WebSocket: %w: check the URL",
			ErrNotRTDB, c.address.socket, err)}
	}
	return c.readRefusal(response)
}

// readRefusal reads the response to a request that was refused.
func (c *Client) readRefusal(response *http.Response) *attemptError {
	status := response.StatusCode
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	result := &attemptError{permanent: status != http.StatusTooManyRequests && status != http.StatusRequestTimeout && status < 500}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		result.after = time.Duration(seconds) * time.Second
	}
	var m struct {
		Error *Error `json:"error"`
	}
	answered := fmt.Sprintf("%s answered %d and %.100q", c.address.base, status, body)
	switch {
	case json.Unmarshal(body, &m) == nil && m.Error != nil && m.Error.Code != "":
		result.err = m.Error
	case status == http.StatusUnauthorized:
		result.err = fmt.Errorf("%w: %s", ErrUnauthorized, answered)
	case status == http.StatusForbidden:
		result.err = fmt.Errorf("%w: %s", ErrForbidden, answered)
	case result.permanent:
		result.err = fmt.Errorf("%w: %s: check the URL", ErrNotRTDB, answered)
	default:
		result.err = fmt.Errorf("rtdb: %s", answered)
	}
	return result
}

// isPermanent reports whether an attempt that got no response fails again next time.
func isPermanent(err error) bool {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
		record      tls.RecordHeaderError
	)
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &certificate) || errors.As(err, &unknown) ||
		errors.As(err, &record) || strings.Contains(err.Error(), http.ErrSchemeMismatch.Error())
}

// withoutURL leaves out the wrappers that repeat the URL.
func withoutURL(err error) error {
	for {
		var op *net.OpError
		var dns *net.DNSError
		inner := errors.Unwrap(err)
		if inner == nil || errors.As(err, &op) && err == error(op) || errors.As(err, &dns) && err == error(dns) {
			return err
		}
		err = inner
	}
}

// greet sends the first request and waits for its reply, which shows that the server is
// there and speaks rtdb.v1.
func (l *link) greet(ctx context.Context) error {
	f := newFields("ping")
	if l.c.options.name != "" {
		f = newFields("hello").text("client", l.c.options.name)
	}
	if err := l.conn.Write(ctx, websocket.MessageText, []byte(`{"id":0,`+string(f)+`}`)); err != nil {
		return l.explain(err)
	}
	for {
		_, data, err := l.conn.Read(ctx)
		if err != nil {
			return l.explain(err)
		}
		m, err := parseMessage(data)
		switch {
		case err != nil:
			return &attemptError{err: err, permanent: true}
		case string(m.ID) == "0" && m.Error != nil:
			return &attemptError{err: m.Error, permanent: !m.Error.isPassing()}
		case string(m.ID) == "0":
			return nil
		default:
			l.notice(m)
		}
	}
}

// A wire is a transport that remembers the body of the last response. The body of a
// WebSocket is its connection, which coder/websocket does not close before 5 s if the
// server leaves its close frame unanswered.
type wire struct {
	http.RoundTripper
	body io.Closer
}

// RoundTrip makes a request.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	w.body = response.Body
	if conn, ok := response.Body.(io.ReadWriteCloser); ok {
		response.Body = socketBody{conn}
	}
	return response, nil
}

// A socketBody is the connection of a WebSocket. If the server's bytes end, that is
// io.ErrUnexpectedEOF: between two fragments coder/websocket takes io.EOF for the end of the
// message, and the beginning of a message for the whole.
type socketBody struct{ io.ReadWriteCloser }

func (b socketBody) Read(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
