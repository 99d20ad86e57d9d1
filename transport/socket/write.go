package socket

import "time"

// TakeFrames returns the frames for the session's next write: the rest that the last
// TryWrite has left or, if it has left nothing, the control frames that wait. The caller
// adds its messages and passes the frames to TryWrite or Write, which free them.
func (c *Conn) TakeFrames() *Frames {
	kept := c.wire.hasKept
	f := c.wire.take()
	if !kept {
		f.bytes = c.wire.appendControl(f.bytes)
	}
	return f
}

// TryWrite writes as much of f as it can without blocking. If done is false and
// err is nil, the rest is kept, and the next call must be Write.
func (c *Conn) TryWrite(f *Frames) (done bool, err error) { return c.wire.try(f) }

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
		if err := w.writeLocked(f.bytes[f.taken:boundary], time.Now()); err != nil || boundary == len(f.bytes) {
			return err
		}
		if w.hasControl.Load() {
			if err := w.writeLocked(w.appendControl(nil), time.Now()); err != nil {
				return err
			}
		}
		f.taken = boundary
		boundary = f.boundary(boundary, boundary+writePiece)
	}
}

// Write writes for the library. Each call is one control frame, because the library
// flushes each frame and its buffer holds the longest.
//
// Pongs are left to the session's actor, which may block: the library
// gives up a connection on which one takes 5 s. If several wait, the newest
// answers for all (RFC 6455, section 5.5.3).
func (w *wire) Write(p []byte) (int, error) {
	const opcode, opClose = 0x0f, 0x08
	if p[0]&opcode == opClose {
		return len(p), w.writeClose(p)
	}
	w.queueControl(p, func(c *control) *[]byte { return &c.pong })
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
