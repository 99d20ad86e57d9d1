package socket

import (
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const (
	// downloadPiece is the number of bytes of a download that are written at once. Each
	// piece has StallTimeout, because net/http does not report how much of a piece was sent.
	downloadPiece = 32 << 10

	// downloadBuffer is the size of the kernel's send buffer for a download. A blocked
	// write continues when about a third of the buffer is free. With the usual buffer of
	// megabytes a slow client would look stalled.
	downloadBuffer = 512 << 10
)

// A Download is the body of a long HTTP response. Its client may take as long as it needs,
// but not stall: if it takes nothing for StallTimeout, a write fails with ErrStalled.
type Download struct {
	w       http.ResponseWriter
	control *http.ResponseController
	owed    bool        // the request has a body, which may never arrive
	cut     atomic.Bool // nothing more is written
	err     error       // the first error of Write
}

// NewDownload lifts the deadline of a request's response, which is too short for a download.
// Finish must be called in the end.
func NewDownload(w http.ResponseWriter, r *http.Request) (*Download, error) {
	d := &Download{w: w, control: http.NewResponseController(w), owed: r.Body != http.NoBody}
	_ = d.control.EnableFullDuplex() // do not wait for the rest of a request body; only HTTP/1 needs it and has it
	if r.ProtoMajor == 1 {           // a connection of HTTP/2 carries other responses, too
		LimitSendBuffer(NetConn(r), downloadBuffer)
	}
	return d, d.control.SetWriteDeadline(time.Time{})
}

// Write writes p. Once it has failed it writes nothing more.
func (d *Download) Write(p []byte) (n int, err error) {
	for n < len(p) && d.err == nil {
		var written int
		written, d.err = d.writePiece(p[n:min(n+downloadPiece, len(p))])
		n += written
	}
	_ = d.control.SetWriteDeadline(time.Time{}) // the caller may need long to make the next piece
	return n, d.err
}

func (d *Download) writePiece(piece []byte) (n int, err error) {
	deadline := time.Now().Add(StallTimeout)
	if err := d.control.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	if d.cut.Load() { // after the deadline, which Cut sets, too
		return 0, os.ErrDeadlineExceeded
	}
	n, err = d.w.Write(piece)
	// The errors of HTTP/2 do not tell that the deadline has passed.
	if err != nil && !d.cut.Load() && (errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(deadline)) {
		err = ErrStalled
	}
	return n, err
}

// Cut makes a Write that is under way, and all later ones, fail. It may be called from
// another goroutine, until Finish is called.
func (d *Download) Cut() {
	d.cut.Store(true)
	_ = d.control.SetWriteDeadline(time.Now())
}

// Finish gives net/http time to send the rest, if the client still takes it. It returns the
// first error of Write.
func (d *Download) Finish() error {
	rest := StallTimeout
	if d.err != nil || d.cut.Load() {
		rest = 0
	}
	_ = d.control.SetWriteDeadline(time.Now().Add(rest))
	// If net/http's reader of a request without a body is stopped, every later request of the
	// connection counts as canceled.
	if d.owed {
		_ = d.control.SetReadDeadline(time.Now())
	}
	return d.err
}
