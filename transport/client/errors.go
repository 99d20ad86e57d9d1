package client

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/coder/websocket"
)

// The errors of this package, for errors.Is.
var (
	// ErrOffline says that a request was not sent, because there was no connection in time.
	ErrOffline = errors.New("rtdb: offline")

	// ErrUnknownOutcome says that a request was sent and that no reply came. A write may
	// have been made: read the key, or write it again if that is safe.
	ErrUnknownOutcome = errors.New("rtdb: unknown outcome")

	// ErrVersionMismatch says that the key does not have the version that the write
	// requires. The version that it has is in [Error].
	ErrVersionMismatch = errors.New("rtdb: version mismatch")

	// ErrNotFound says that there is no such key.
	ErrNotFound = errors.New("rtdb: not found")

	// ErrUnauthorized says that a token is missing or not accepted. A function that gives
	// tokens returns it to end the client for good.
	ErrUnauthorized = errors.New("rtdb: unauthorized")

	// ErrForbidden says that the token does not grant the request.
	ErrForbidden = errors.New("rtdb: forbidden")

	// ErrReplaced says that the client has ended because a newer one has its name.
	ErrReplaced = errors.New("rtdb: replaced by a newer client of the same name")

	// ErrClosed says that the client is closed.
	ErrClosed = errors.New("rtdb: client closed")

	// ErrNotRTDB says that the address answers, but not as an rtdb server does.
	ErrNotRTDB = errors.New("rtdb: not an rtdb server")
)

// An Error is a refusal by the server.
type Error struct {
	Code    string `json:"code"`    // for programs, such as "invalid_value"
	Message string `json:"message"` // for people
	Version uint64 `json:"version"` // after a version mismatch, that of the key; 0 means there is no such key
}

// Error returns the message and the code.
func (e *Error) Error() string { return fmt.Sprintf("rtdb: %s (%s)", e.Message, e.Code) }

// Is reports whether target stands for the code of e.
func (e *Error) Is(target error) bool {
	switch e.Code {
	case "version_mismatch":
		return target == ErrVersionMismatch
	case "not_found":
		return target == ErrNotFound
	case "unauthorized":
		return target == ErrUnauthorized
	case "forbidden":
		return target == ErrForbidden
	case "internal": // a write may have been made
		return target == ErrUnknownOutcome
	}
	return false
}

// isPassing reports whether the same request may succeed later.
func (e *Error) isPassing() bool {
	switch e.Code {
	case "limit_reached", "rate_limited", "unavailable", "internal":
		return true
	}
	return false
}

// A ValueError says that a value is not of the type that the caller asked for.
type ValueError struct {
	Name  string // of the key or topic
	Value string // the JSON text, at most 200 bytes of it
	Err   error  // of encoding/json
}

// Error names the key and the value.
func (e *ValueError) Error() string {
	return fmt.Sprintf("rtdb: the value of %q does not parse: %v: %s", e.Name, e.Err, e.Value)
}

// Unwrap returns the error of encoding/json.
func (e *ValueError) Unwrap() error { return e.Err }

// Close codes of the server that the client tells apart.
const (
	statusTokenExpired websocket.StatusCode = 4010
	statusReplaced     websocket.StatusCode = 4011
)

// closedBy describes the server's close frame in words.
func closedBy(e websocket.CloseError) error {
	text := "rtdb: the server closed the connection (" + strconv.Itoa(int(e.Code))
	if e.Reason != "" {
		text += ", " + strconv.Quote(e.Reason)
	}
	return fmt.Errorf("%s): %w", text, &closeError{e})
}

// A closeError keeps the close frame for errors.As, without a text of its own.
type closeError struct{ frame websocket.CloseError }

// Error tells the consequence of the close code.
func (e *closeError) Error() string {
	switch e.frame.Code {
	case websocket.StatusServiceRestart:
		return "it restarts"
	case statusTokenExpired:
		return "the token has expired"
	case statusReplaced:
		return "a newer client has the same name"
	}
	return "the client connects again"
}

// Unwrap returns the close frame.
func (e *closeError) Unwrap() error { return e.frame }
