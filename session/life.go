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

// A snapshotState says whether the client is being sent a snapshot. It may be used from
// any goroutine.
type snapshotState struct{ atomic.Uint32 }

const (
	noSnapshot      uint32 = iota
	sendingSnapshot        // a call of Subscribe sends one
	noMoreSnapshots        // the client has left
)

// begin reports whether a snapshot may be sent. end comes after it.
func (x *snapshotState) begin() bool { return x.CompareAndSwap(noSnapshot, sendingSnapshot) }

func (x *snapshotState) end() { x.CompareAndSwap(sendingSnapshot, noSnapshot) }

// stop ends the snapshots, and reports whether one was being sent.
func (x *snapshotState) stop() bool { return x.Swap(noMoreSnapshots) == sendingSnapshot }

func (x *snapshotState) stopped() bool { return x.Load() == noMoreSnapshots }

func (l *life) setCause(cause error) { l.cause.CompareAndSwap(nil, &cause) }
