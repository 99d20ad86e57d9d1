package socket

import (
	"errors"
	"os"
	"time"
)

// stallStep is the deadline of one write. A write that reaches its deadline reports how
// many bytes were taken, but not when, so the deadline is a part of StallTimeout.
const stallStep = StallTimeout / 5

// TakeFrames returns the frames for the session's next write: the rest that the last
// TryWrite has left or, if it has left nothing, the control frames that wait. The caller
// adds its messages and passes the frames to TryWrite or Write, which free them.
func (c *Conn) TakeFrames() *Frames {
	var f *Frames
	if c.wire.hasKept { // kept itself is in another line of the cache
		f, c.wire.kept, c.wire.hasKept = c.wire.kept, nil, false
	} else {
		f = newFrames()
		f.bytes = c.wire.appendControl(f.bytes)
	}
	return f
}

// TryWrite writes as much of f as it can without blocking. If done is false and
// err is nil, the rest is kept, and the next call must be Write.
func (c *Conn) TryWrite(f *Frames) (done bool, err error) {
	w := &c.wire
	if !w.writing.TryLock() {
		w.kept, w.hasKept = f, true
		return false, nil
	}
	defer w.writing.Unlock()
	if w.writeErr != nil {
		f.free()
		return true, w.writeErr
	}
	if len(f.bytes) > 0 {
		f.taken, w.writeErr = w.fd.tryWrite(f.bytes)
		w.sent.Add(uint64(f.taken))
		if w.writeErr == nil && f.taken < len(f.bytes) {
			w.torn = f.taken > 0
			w.kept, w.hasKept = f, true
			return false, nil
		}
	}
	f.free()
	return true, w.writeErr
}

// writePiece is how much Write writes before it looks for control frames, in whole frames.
// A record of TLS holds as much.
const writePiece = 16 << 10

// Write writes f. It blocks as long as the client takes a byte now and then, and
// returns ErrStalled if it takes none for StallTimeout. Control frames that come meanwhile
// go out between two frames.
func (c *Conn) Write(f *Frames) error {
	defer f.free()
	w := &c.wire
	w.writing.Lock()
	defer w.writing.Unlock()
	w.torn = false
	boundary := f.boundary(0, f.taken) // TryWrite may have left a part of a frame
	for {
		if err := w.writeLocked(f.bytes[f.taken:boundary]); err != nil || boundary == len(f.bytes) {
			return err
		}
		if w.hasControl.Load() {
			if err := w.writeLocked(w.appendControl(nil)); err != nil {
				return err
			}
		}
		f.taken = boundary
		boundary = f.boundary(boundary, boundary+writePiece)
	}
}

// writeLocked writes p as long as the client takes a byte now and then. Once the
// session is ending, taking bytes gives the client no more time. After an error a
// frame may be cut in two, so nothing more is written.
//
// Under TLS a write must not reach its deadline, because a [tls.Conn] writes nothing after
// that. So there a client must take a piece within StallTimeout.
func (w *wire) writeLocked(p []byte) error {
	progress := time.Now()
	for len(p) > 0 && w.writeErr == nil {
		piece, deadline := p, time.Now().Add(stallStep)
		if w.secure {
			piece, deadline = p[:min(len(p), writePiece)], progress.Add(StallTimeout)
		}
		if w.writeErr = w.SetWriteDeadline(deadline); w.writeErr != nil {
			break
		}
		n, err := w.Conn.Write(piece)
		w.sent.Add(uint64(n))
		p = p[n:]
		if n > 0 && !w.session.Ending() {
			progress = time.Now()
		}
		switch late := errors.Is(err, os.ErrDeadlineExceeded); {
		case late && (w.secure || time.Since(progress) >= StallTimeout):
			w.writeErr = ErrStalled
		case err != nil && !late:
			w.writeErr = err
		}
	}
	return w.writeErr
}

// Write writes for the library. Each call is one control frame, because the library
// flushes each frame and its buffer holds the longest.
//
// Pings and pongs are left to the session's actor, which may block: the library
// gives up a connection on which one takes 5 s. If several pongs wait, the newest
// answers for all (RFC 6455, section 5.5.3).
func (w *wire) Write(p []byte) (int, error) {
	const opcode, opClose, opPing = 0x0f, 0x08, 0x09
	switch p[0] & opcode {
	case opClose:
		return len(p), w.writeClose(p)
	case opPing:
		w.queueControl(p, func(c *control) *[]byte { return &c.ping })
	default:
		w.queueControl(p, func(c *control) *[]byte { return &c.pong })
	}
	return len(p), nil
}

// control is the control frames that wait.
type control struct{ ping, pong []byte }

// queueControl puts a control frame into its place for the session's next write, or for
// the one under way.
func (w *wire) queueControl(frame []byte, place func(*control) *[]byte) {
	w.controlMu.Lock()
	first := w.control == nil
	if first {
		w.control = new(control)
	}
	p := place(w.control)
	*p = append((*p)[:0], frame...)
	w.hasControl.Store(true)
	w.controlMu.Unlock()
	if first { // else the session has been asked, and has not written yet
		w.session.Flush()
	}
}

// appendControl takes the control frames that wait.
func (w *wire) appendControl(frames []byte) []byte {
	if !w.hasControl.Load() {
		return frames
	}
	w.controlMu.Lock()
	defer w.controlMu.Unlock()
	w.hasControl.Store(false)
	frames = append(append(frames, w.control.pong...), w.control.ping...)
	w.control = nil
	return frames
}

// busy reports whether something is being written.
func (w *wire) busy() bool {
	if w.writing.TryLock() {
		w.writing.Unlock()
		return false
	}
	return true
}
