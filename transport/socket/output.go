package socket

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// stallStep is the deadline of one write. A write that reaches its deadline reports how
// many bytes were taken, but not when, so the deadline is a part of StallTimeout.
const stallStep = StallTimeout / 5

// writePiece is how much Conn.Write writes before it looks for control frames, in whole
// frames. A record of TLS holds as much.
const writePiece = 16 << 10

// An output is the writer's side of a connection. It writes without blocking if it can. What
// the kernel does not take at once is kept, and written as long as the client takes a byte
// now and then.
type output struct {
	// These fields come first, because each write uses them: they are in one line of the
	// cache.
	writing    sync.Mutex // held while whole frames are written, except when torn is set
	fd         descriptor
	writeErr   error         // why nothing more is written
	sent       atomic.Uint64 // bytes
	hasControl atomic.Bool   // a WebSocket's control frames wait; looking here is cheaper than locking controlMu
	torn       bool          // a frame was written in part: its rest comes next
	secure     bool          // the connection uses TLS
	hasKept    bool          // kept is set; the session's actor uses it

	net.Conn
	session Session
	kept    *Frames // what waits before the next text, such as the rest that try has left; the session's actor uses it
}

// take returns the frames that were kept, or else empty ones.
func (o *output) take() *Frames {
	if !o.hasKept { // kept itself is in another line of the cache
		return newFrames()
	}
	f := o.kept
	o.kept, o.hasKept = nil, false
	return f
}

// keep keeps f for the next call of take.
func (o *output) keep(f *Frames) { o.kept, o.hasKept = f, true }

// try writes as much of f as it can without blocking. If done is false and err is nil, the
// rest is kept.
func (o *output) try(f *Frames) (done bool, err error) {
	if !o.writing.TryLock() {
		o.keep(f)
		return false, nil
	}
	if o.writeErr == nil && len(f.bytes) > 0 {
		f.taken, o.writeErr = o.fd.tryWrite(f.bytes)
		o.sent.Add(uint64(f.taken))
		if o.writeErr == nil && f.taken < len(f.bytes) {
			o.torn = f.taken > 0
			o.keep(f)
			o.writing.Unlock()
			return false, nil
		}
	}
	err = o.writeErr
	o.writing.Unlock()
	f.free()
	return true, err
}

// writeLocked writes p as long as the client takes a byte now and then. progress is when it
// took the last one. Once the session is ending, taking bytes gives the client no more time.
// After an error a frame may be cut in two, so nothing more is written.
//
// Under TLS a write must not reach its deadline, because a [tls.Conn] writes nothing after
// that. So there a client must take a piece within StallTimeout.
func (o *output) writeLocked(p []byte, progress time.Time) error {
	for len(p) > 0 && o.writeErr == nil {
		piece, deadline := p, time.Now().Add(stallStep)
		if o.secure {
			piece, deadline = p[:min(len(p), writePiece)], progress.Add(StallTimeout)
		}
		if o.writeErr = o.SetWriteDeadline(deadline); o.writeErr != nil {
			break
		}
		n, err := o.Conn.Write(piece)
		o.sent.Add(uint64(n))
		p = p[n:]
		if n > 0 && !o.session.Ending() {
			progress = time.Now()
		}
		switch late := errors.Is(err, os.ErrDeadlineExceeded); {
		case late && (o.secure || time.Since(progress) >= StallTimeout):
			o.writeErr = ErrStalled
		case err != nil && !late:
			o.writeErr = err
		}
	}
	return o.writeErr
}

// busy reports whether something is being written.
func (o *output) busy() bool {
	if o.writing.TryLock() {
		o.writing.Unlock()
		return false
	}
	return true
}

// Close ends the connection.
func (o *output) Close() error {
	o.fd.close()
	return o.Conn.Close()
}
