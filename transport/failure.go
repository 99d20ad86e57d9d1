package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coder/websocket"

	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/auth"
)

// The codes of errors, as clients are told them.
const (
	codeInvalidRequest   = "invalid_request"
	codeInvalidName      = "invalid_name"
	codeInvalidValue     = "invalid_value"
	codeUnauthorized     = "unauthorized"
	codeForbidden        = "forbidden"
	codeNotFound         = "not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeVersionMismatch  = "version_mismatch"
	codeTooLarge         = "too_large"
	codeLimitReached     = "limit_reached"
	codeRateLimited      = "rate_limited"
	codeInternal         = "internal"
	codeUnavailable      = "unavailable"
)

var statuses = map[string]int{
	codeInvalidRequest:   http.StatusBadRequest,
	codeInvalidName:      http.StatusBadRequest,
	codeInvalidValue:     http.StatusBadRequest,
	codeUnauthorized:     http.StatusUnauthorized,
	codeForbidden:        http.StatusForbidden,
	codeNotFound:         http.StatusNotFound,
	codeMethodNotAllowed: http.StatusMethodNotAllowed,
	codeVersionMismatch:  http.StatusPreconditionFailed,
	codeTooLarge:         http.StatusRequestEntityTooLarge,
	codeLimitReached:     http.StatusTooManyRequests,
	codeRateLimited:      http.StatusTooManyRequests,
	codeInternal:         http.StatusInternalServerError,
	codeUnavailable:      http.StatusServiceUnavailable,
}

// A failure is an error as a client is told it: a code for programs, and a
// message that a person can act on.
type failure struct {
	code    string
	message string
	status  int // by HTTP; 0 is that of the code

	retry   time.Duration // when to try again; 0 is that of the code
	current *uint64       // of a version mismatch: the version that the key has
}

func (f *failure) Error() string { return f.code + ": " + f.message }

// refuse returns a failure.
func refuse(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...)}
}

// errDraining answers every request once the server is going away.
var errDraining = refuse(codeUnavailable, "the server is shutting down: try again, or another server")

// explain is the one place where an error becomes what a client is told.
func explain(err error) *failure {
	var f *failure
	var name *keyspace.NameError
	var token *auth.TokenError
	var mismatch *keyspace.VersionError
	switch {
	case errors.As(err, &f):
	case errors.As(err, &name):
		f = refuse(codeInvalidName, "not a valid name: %s", name.Reason)
	case errors.As(err, &token):
		f = refuse(codeUnauthorized, "the token is not accepted: %s", token.Reason)
	case errors.Is(err, keyspace.ErrTooManyKeys):
		f = refuse(codeLimitReached, "there are as many keys as are allowed: delete some, or write to those")
	case errors.Is(err, keyspace.ErrFull):
		f = refuse(codeLimitReached, "the server has no memory left for another key, or a longer value")
	case errors.Is(err, session.ErrTooMany):
		f = refuse(codeLimitReached, "this connection has as many subscriptions, or wills, as are allowed, or the server has no memory left for more")
	case errors.As(err, &mismatch):
		f = refuse(codeVersionMismatch, "the key is at version %d, and the request wants another", mismatch.Current)
		if mismatch.Current == 0 {
			f.message = "there is no such key, and the request wants one"
		}
		f.current = &mismatch.Current
	case errors.Is(err, keyspace.ErrNotFound):
		f = refuse(codeNotFound, "there is no such key")
	case errors.Is(err, keyspace.ErrClosed):
		f = errDraining
	case errors.Is(err, keyspace.ErrUnavailable):
		f = refuse(codeUnavailable, "the write could not be made durable, and was not made")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f = refuse(codeUnavailable, "the request was given up; a write may have been made")
	default:
		f = refuse(codeInternal, "the server failed; a write may have been made")
	}
	if f.status == 0 {
		copied := *f
		copied.status = statuses[f.code]
		f = &copied
	}
	return f
}

// reasonOf returns what a NameError has to say.
func reasonOf(err error) string {
	var name *keyspace.NameError
	if errors.As(err, &name) {
		return name.Reason
	}
	return err.Error()
}

// Why a session ends, besides what the session and the connection say.
var (
	errBinary           = errors.New("transport: binary message")
	errNotUTF8          = errors.New("transport: text message that is not UTF-8")
	errTooBig           = errors.New("transport: message over the size limit")
	errNoPong           = errors.New("transport: no pong")
	errTooLong          = errors.New("transport: message not complete in time")
	errStalled          = errors.New("transport: client takes no bytes")
	errNotAuthenticated = errors.New("transport: no token in time")
	errTokenExpired     = errors.New("transport: token expired")
	errRestart          = errors.New("transport: server shutting down")
	errNotAllowed       = errors.New("transport: client broke the WebSocket protocol")
	errKicked           = errors.New("transport: kicked by the operator")
	errFlood            = errors.New("transport: too many requests for too long")
	errGone             = fmt.Errorf("transport: client ended the stream: %w", io.EOF)
)

// An ending is how a session ends: the close code (RFC 6455, section 7.4), and
// the reason for the client and the log.
type ending struct {
	code   websocket.StatusCode
	reason string
	silent bool // the client is not told: it has gone, or said so itself
}

// endingOf is the one place where the cause of an end becomes a close code.
func endingOf(cause error) ending {
	var byClient websocket.CloseError
	switch {
	case errors.As(cause, &byClient):
		return ending{byClient.Code, "closed by client", true}
	case errors.Is(cause, errBinary):
		return ending{websocket.StatusUnsupportedData, "binary message: only text is understood", false}
	case errors.Is(cause, errNotUTF8):
		return ending{websocket.StatusInvalidFramePayloadData, "text message is not UTF-8", false}
	case errors.Is(cause, errNoPong):
		return ending{websocket.StatusPolicyViolation, "no pong in time", false}
	case errors.Is(cause, errTooLong):
		return ending{websocket.StatusPolicyViolation, "message took too long", false}
	case errors.Is(cause, errFlood):
		return ending{websocket.StatusPolicyViolation, "too many requests", false}
	case errors.Is(cause, errNotAuthenticated):
		return ending{websocket.StatusPolicyViolation, "no token in time", false}
	case errors.Is(cause, errTokenExpired):
		return ending{4010, "token expired", false}
	case errors.Is(cause, errKicked):
		return ending{4009, "kicked", false}
	case errors.Is(cause, errTooBig):
		return ending{websocket.StatusMessageTooBig, "message too big", false}
	case errors.Is(cause, errRestart):
		return ending{websocket.StatusServiceRestart, "server is shutting down: reconnect", false}
	case errors.Is(cause, errStalled):
		return ending{4008, "too slow", false}
	case errors.Is(cause, errNotAllowed):
		return ending{websocket.StatusProtocolError, "protocol error", false}
	case isLost(cause):
		return ending{websocket.StatusAbnormalClosure, "connection lost", true}
	}
	return ending{websocket.StatusInternalError, "internal error", false}
}

// isLost reports whether an error of the connection says that it is gone.
func isLost(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}
