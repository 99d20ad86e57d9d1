package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/auth"
	"rtdb/transport/guard"
	"rtdb/transport/socket"
)

// The codes of errors that clients get.
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
	codeUnsupportedMedia = "unsupported_media_type"
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
	codeUnsupportedMedia: http.StatusUnsupportedMediaType,
	codeLimitReached:     http.StatusTooManyRequests,
	codeRateLimited:      http.StatusTooManyRequests,
	codeInternal:         http.StatusInternalServerError,
	codeUnavailable:      http.StatusServiceUnavailable,
}

// A failure is an error as a client gets it: a code for programs, and a message that a
// person can act on.
type failure struct {
	code    string
	message string
	status  int // of HTTP; 0 means the status of the code

	state   string        // of the server, for readiness checks; "" in other answers
	retry   time.Duration // when to try again; 0 if the server does not know
	current *uint64       // the key's version, if it does not match
}

func (f *failure) Error() string { return f.code + ": " + f.message }

// refuse returns a failure.
func refuse(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...)}
}

// errDraining answers every request once the server is shutting down.
var errDraining = &failure{
	code: codeUnavailable, message: "the server is shutting down: try again, or another server", retry: time.Second,
}

// errLoading answers requests until the keyspace is loaded.
var errLoading = &failure{
	code: codeUnavailable, message: "the server is loading its state: try again", retry: time.Second,
}

// errNoRoom answers a write that the store has no room for.
var errNoRoom = &failure{
	code: codeUnavailable,
	message: "insufficient storage: the server's disk is nearly full, so no value was written: free space on the disk, " +
		"or delete keys, and try again; reads and deletes go on",
	retry: 10 * time.Second, // a snapshot must make the room
}

// errCutOff answers a write of a node that cannot reach the store.
var errCutOff = &failure{
	code:    codeUnavailable,
	message: "this node is cut off from the others, so the write was not made: try again later; reads and subscriptions go on",
	retry:   time.Second,
}

// as returns the failure as the answer to a readiness check. state is the state of the
// server in a few words.
func (f *failure) as(state string) *failure {
	answer := *f
	answer.state = state
	return &answer
}

// refusalFailure answers a readiness check while the store refuses values.
func refusalFailure(err error) *failure {
	if errors.Is(err, keyspace.ErrInsufficientStorage) {
		return errNoRoom.as("insufficient storage")
	}
	return refuse(codeUnavailable, "the store takes no values: %v; reads and deletes go on", err).as("refusing writes")
}

// notReadyFailure answers a readiness check of a node that is not ready.
func notReadyFailure(reason error) *failure {
	f := refuse(codeUnavailable, "the node is not ready: %v", reason)
	f.retry = time.Second
	return f.as("not ready")
}

// isTemporary reports whether the same request may succeed later, without a change of the
// key or the settings.
func (f *failure) isTemporary() bool {
	return f.status == http.StatusServiceUnavailable || f.code == codeRateLimited
}

// errEnding answers a request of a session that is ending. The answer is seldom sent.
var errEnding = refuse(codeUnavailable, "the session is ending")

func tooManyRequests(perSecond float64) *failure {
	return refuse(codeRateLimited, "too many requests: %v a second are allowed", perSecond)
}

// explain turns any error into the failure that the client gets. It is the only place
// that does.
func explain(err error) *failure {
	f := failureOf(err)
	if f.status == 0 {
		withStatus := *f
		withStatus.status = statuses[f.code]
		f = &withStatus
	}
	return f
}

func failureOf(err error) *failure {
	var f *failure
	var name *keyspace.NameError
	var token *auth.TokenError
	var mismatch *keyspace.VersionError
	var format *guard.FormatError
	var page *guard.OriginError
	var host *guard.HostError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &name):
		return refuse(codeInvalidName, "not a valid name: %s", name.Reason)
	case errors.As(err, &token):
		return refuse(codeUnauthorized, "the token is not accepted: %s", token.Reason)
	case errors.As(err, &format):
		return refuse(codeUnsupportedMedia, "%s", format.Reason)
	case errors.Is(err, fs.ErrNotExist): // a file that was removed while it was served
		return errNoPath
	case errors.Is(err, auth.ErrNoKeys):
		f := refuse(codeUnavailable, "the server cannot check tokens yet, because the identity provider has not answered: try again")
		f.retry = auth.RenewTimeout
		return f
	case errors.As(err, &page):
		return originFailure(page)
	case errors.As(err, &host):
		return hostFailure(host)
	case errors.Is(err, keyspace.ErrTooManyKeys):
		return refuse(codeLimitReached, "the server has its maximum number of keys: delete some, or write to existing ones")
	case errors.Is(err, keyspace.ErrFull):
		return refuse(codeLimitReached, "the server has no memory left for another key, or a longer value")
	case errors.Is(err, session.ErrTooMany):
		return refuse(codeLimitReached, "this connection has its maximum of subscriptions or wills, or the server has no memory left for more")
	case errors.As(err, &mismatch):
		return mismatchFailure(mismatch.Current)
	case errors.Is(err, keyspace.ErrNotFound):
		return refuse(codeNotFound, "there is no such key")
	case errors.Is(err, keyspace.ErrClosed):
		return errDraining
	case errors.Is(err, session.ErrLeft):
		return refuse(codeUnavailable, "the client closed the connection before its request was done")
	case errors.Is(err, keyspace.ErrInsufficientStorage):
		return errNoRoom
	case errors.Is(err, keyspace.ErrCutOff):
		return errCutOff
	case errors.Is(err, keyspace.ErrUnknownOutcome):
		return refuse(codeUnavailable, "the node could not learn whether the write was made: "+
			"the write may have been made; read the key before you write it again")
	case errors.Is(err, keyspace.ErrUnavailable):
		return refuse(codeUnavailable, "the write could not be made durable, and was not made")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return refuse(codeUnavailable, "the request was canceled or took too long; a write may have been made")
	}
	return refuse(codeInternal, "the server failed; a write may have been made")
}

// originFailure names the origin of a page that may not call, and the flag that would let
// it in.
func originFailure(e *guard.OriginError) *failure {
	switch {
	case e.Allow != "":
		return refuse(codeForbidden, "the page's origin %s is not allowed: start the server with --allowed-origins %s ($ALLOWED_ORIGINS)",
			e.Origin, e.Allow)
	case e.Origin != "":
		return refuse(codeForbidden, "the page's origin %s is not allowed: here only pages of the server's own origin may call", e.Origin)
	}
	return refuse(codeForbidden, "the request comes from a page of another site and has no valid Origin header, as a page's fetch has")
}

// hostFailure names the Host header that is refused, and what to do.
func hostFailure(e *guard.HostError) *failure {
	if errors.Is(e, guard.ErrAdminHost) {
		return refuse(codeForbidden, "the admin address does not accept the host name %s: call it by its IP address or as localhost", e.Host)
	}
	return refuse(codeForbidden, "the Host header %s names another machine, and a server on a loopback address without a key "+
		"answers only to localhost: call it localhost, let the proxy send Host: localhost, or configure a key (--jwt-secret)", e.Host)
}

func mismatchFailure(current uint64) *failure {
	f := refuse(codeVersionMismatch, "the key is at version %d, but the request requires another", current)
	if current == 0 {
		f.message = "the key does not exist, but the request requires it"
	}
	f.current = &current
	return f
}

// reasonOf returns the reason of a NameError.
func reasonOf(err error) string {
	var name *keyspace.NameError
	if errors.As(err, &name) {
		return name.Reason
	}
	return err.Error()
}

// The causes of a session's end, besides those of packages session and socket.
var (
	errNotUTF8          = errors.New("transport: text message that is not UTF-8")
	errNoPong           = errors.New("transport: no pong")
	errNotAuthenticated = errors.New("transport: no token in time")
	errTokenExpired     = errors.New("transport: token expired")
	errRestart          = errors.New("transport: server shutting down")
	errReplaced         = errors.New("transport: replaced by a newer session of the client")
	errKicked           = errors.New("transport: kicked by the operator")
	errTooFast          = errors.New("transport: too many requests for too long")
)

// ErrNewerSession is the error of [Options.Takeover] if another node has a newer session of
// the client.
var ErrNewerSession = errors.New("transport: a newer session of the client exists on another node")

// A restartError ends sessions as a shutdown does, for another reason.
type restartError struct{ reason string }

func (e *restartError) Error() string { return "transport: sessions ended: " + e.reason }

// An ending is how a session ends: the close code (RFC 6455, section 7.4) and the
// reason, for the client and the log.
type ending struct {
	code   websocket.StatusCode
	reason string
	silent bool // the client is not told, because it has gone or has closed itself
}

// The close codes of rtdb (RFC 6455, section 7.4.2: 4000 to 4999 are private).
const (
	statusTooSlow      websocket.StatusCode = 4008
	statusKicked       websocket.StatusCode = 4009
	statusTokenExpired websocket.StatusCode = 4010
	statusReplaced     websocket.StatusCode = 4011
)

// endings are how a session ends, by cause.
var endings = []struct {
	cause error
	ending
}{
	{socket.ErrBinary, ending{websocket.StatusUnsupportedData, "binary message: only text is understood", false}},
	{errNotUTF8, ending{websocket.StatusInvalidFramePayloadData, "text message is not UTF-8", false}},
	{errNoPong, ending{websocket.StatusPolicyViolation, "no pong in time", false}},
	{socket.ErrMessageTimeout, ending{websocket.StatusPolicyViolation, "message took too long", false}},
	{errTooFast, ending{websocket.StatusPolicyViolation, "too many requests", false}},
	{session.ErrTooMany, ending{websocket.StatusPolicyViolation, "too many subscriptions, or no memory left", false}},
	{errNotAuthenticated, ending{websocket.StatusPolicyViolation, "no token in time", false}},
	{errTokenExpired, ending{statusTokenExpired, "token expired", false}},
	{errReplaced, ending{statusReplaced, "replaced by a newer session of the client", false}},
	{errKicked, ending{statusKicked, "kicked", false}},
	{socket.ErrTooBig, ending{websocket.StatusMessageTooBig, "message too big", false}},
	{errRestart, ending{websocket.StatusServiceRestart, "server is shutting down: reconnect", false}},
	{session.ErrTooManyMissed, ending{statusTooSlow, "too slow", false}},
	{socket.ErrStalled, ending{statusTooSlow, "too slow", false}},
	{socket.ErrProtocol, ending{websocket.StatusProtocolError, "protocol error", false}},
}

// endingOf is the one place in which the cause of an end becomes a close code.
func endingOf(cause error) ending {
	if byClient, ok := errors.AsType[websocket.CloseError](cause); ok {
		return ending{byClient.Code, "closed by client", true}
	}
	if restart, ok := errors.AsType[*restartError](cause); ok {
		return ending{websocket.StatusServiceRestart, restart.reason, false}
	}
	for _, e := range endings {
		if errors.Is(cause, e.cause) {
			return e.ending
		}
	}
	if socket.IsLost(cause) {
		return ending{websocket.StatusAbnormalClosure, "connection lost", true}
	}
	return ending{websocket.StatusInternalError, "internal error", false}
}
