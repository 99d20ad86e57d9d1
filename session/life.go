package session

import "sync/atomic"

// A phase is a part of a session's life. The package's documentation has the
// diagram.
type phase int32

const (
	open     phase = iota // messages are accepted and sent
	draining              // waiting messages are sent; the Conn stays open
	closing               // waiting messages are sent; then the Conn is closed
	ended                 // nothing is sent; the Conn is closed
)

// A life is the phase of a session and the cause of its end. It may be used from
// any goroutine.
type life struct {
	current atomic.Int32
	cause   atomic.Pointer[error] // the first that was given
}

func (l *life) now() phase { return phase(l.current.Load()) }

// leave moves an open session to another phase, and reports whether it did.
func (l *life) leave(to phase) bool { return l.current.CompareAndSwap(int32(open), int32(to)) }

// end moves the session to ended, and reports whether it was in another phase.
func (l *life) end() bool { return phase(l.current.Swap(int32(ended))) != ended }

func (l *life) setCause(cause error) { l.cause.CompareAndSwap(nil, &cause) }
