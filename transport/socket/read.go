package socket

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// A readBlock holds bytes that were read ahead of the library's reader.
type readBlock struct {
	bytes [16 << 10]byte
}

// readBlocks are shared by all connections. A connection has a block only until it
// is read.
var readBlocks = sync.Pool{New: func() any { return new(readBlock) }}

// Read reads for the library. It first returns the bytes that were read ahead.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) > 0 {
		w.partial.Store(true)
		return w.readAhead(p), nil
	}
	if w.timing.CompareAndSwap(inMessage, timedMessage) || w.partial.Load() && w.timing.CompareAndSwap(betweenMessages, timedHeader) {
		// A deadline is set only here, when a message does not come at once: one
		// for each message would cost more than most messages.
		w.setReadDeadline(time.Now().Add(w.readers.MessageTimeout))
	}
	w.session.Uncork()
	if w.full {
		w.full = false // the next read uses the connection, which knows of deadlines
		if w.fillAhead() {
			return w.readAhead(p), nil
		}
	}
	return w.readConn(p)
}

// readConn reads from the connection, and waits for the client. It returns errIdle if
// callOff has ended the wait, or if nothing has come and the client sends seldom.
func (w *wire) readConn(p []byte) (int, error) {
	if w.seldom.Load() && !w.resumed && w.idle() && !w.ends() {
		n := w.fd.tryRead(p)
		if n <= 0 {
			return 0, errIdle
		}
		w.full = n == len(p)
		w.partial.Store(true)
		return n, nil
	}
	w.resumed = false
	w.blockedSince.Store(time.Now().UnixNano())
	n, err := w.readNext(p)
	if since := w.blockedSince.Swap(0); since < 0 {
		w.setReadDeadline(time.Time{})
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			w.blockedSince.Store(since)
			return 0, errIdle
		}
	}
	w.full = n == len(p)
	if n > 0 {
		w.partial.Store(true)
	}
	return n, err
}

// readNext reads what comes next. Within a message, the end of what the client sends is
// io.ErrUnexpectedEOF: between two fragments, the library takes io.EOF for the end of the message.
func (w *wire) readNext(p []byte) (n int, err error) {
	if w.fd.usable() {
		n, err = w.fd.read(p)
	} else {
		n, err = w.Conn.Read(p)
	}
	if err == io.EOF && w.timing.Load() >= inMessage {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// errIdle means that the connection is to be parked. The library is ready to be read from
// again, because it has not got a byte of the next frame.
var errIdle = errors.New("socket: nothing comes")

// idle reports whether nothing of a message was read.
func (w *wire) idle() bool {
	return !w.partial.Load() && w.timing.Load() == betweenMessages
}

// ends reports whether the WebSocket is being closed: the last read waits for the client's
// close frame.
func (w *wire) ends() bool {
	w.closeMu.Lock()
	defer w.closeMu.Unlock()
	return w.closing || w.closeSent
}

// resume makes a parked connection ready to be read from.
func (w *wire) resume() {
	since := -w.blockedSince.Swap(0)
	w.seldom.Store(time.Since(time.Unix(0, since)) >= lookInterval)
	w.resumed, w.full = true, true
}

// callOff ends the wait for the first byte of a message. It reports whether there was one.
func (w *wire) callOff() bool {
	since := w.blockedSince.Load()
	if since <= 0 || !w.idle() {
		return false
	}
	w.closeMu.Lock() // readConn locks it, too, and only then resets the deadline
	defer w.closeMu.Unlock()
	if w.closing || w.closeSent || !w.blockedSince.CompareAndSwap(since, -since) {
		return false
	}
	_ = w.SetReadDeadline(time.Unix(1, 0)) // if it fails, the read does
	return true
}

// fillAhead reads a large piece without blocking, for a client that sends much at
// once: the library's buffer is small, and would need a system call for every few
// messages. It reports false if nothing is there yet, so that no connection waits
// with so large a buffer in hand. With 4 such publishers and 50 subscribers of 1000
// keys a delivery takes a tenth less time (BenchmarkFanoutManyKeys).
func (w *wire) fillAhead() bool {
	block := readBlocks.Get().(*readBlock)
	n := w.fd.tryRead(block.bytes[:])
	if n <= 0 {
		readBlocks.Put(block)
		return false
	}
	w.block, w.ahead = block, block.bytes[:n]
	w.partial.Store(true)
	w.resumed = false
	return true
}

func (w *wire) readAhead(p []byte) int {
	n := copy(p, w.ahead)
	if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
		w.ahead = nil
		if w.block != nil {
			readBlocks.Put(w.block)
			w.block = nil
		}
	}
	return n
}

// drained reports whether nothing that was read is left for the reader. It takes
// closeMu because the session's actor reads, too, once closing is set; then it
// reports false.
func (w *wire) drained() bool {
	w.closeMu.Lock()
	defer w.closeMu.Unlock()
	return !w.closing && len(w.ahead) == 0 && w.reader != nil && w.reader.Buffered() == 0
}

// end returns the error that ends the reading, if nothing is left to read and the error is known.
// The library would only wrap it, which was 2% of the CPU of a connection (BenchmarkConnect).
func (w *wire) end() error {
	if err := w.fd.end(); err != nil && w.idle() && w.drained() {
		return err
	}
	return nil
}

// quiet reports whether the reader, or the poller, has been waiting for the client for a
// while: then everything that the client sent was read.
func (w *wire) quiet() bool {
	since := max(w.blockedSince.Load(), -w.blockedSince.Load())
	return since != 0 && time.Since(time.Unix(0, since)) >= time.Second
}

// The timing of messages. A message may take messageTimeout from its first byte to
// its last.
const (
	betweenMessages = iota
	timedHeader     // a frame has begun, and has a deadline
	inMessage       // a message has begun
	timedMessage    // a message has begun, and has a deadline
)

// beginMessage is called when the header of a message was read. If the header had
// a deadline, it is the message's.
func (w *wire) beginMessage() {
	if !w.timing.CompareAndSwap(timedHeader, timedMessage) {
		w.timing.Store(inMessage)
	}
}

// endMessage is called when a message was read. It reports whether the message had
// a deadline.
func (w *wire) endMessage() (timed bool) {
	timed = w.timing.Swap(betweenMessages) == timedMessage
	if timed {
		w.setReadDeadline(time.Time{})
	}
	w.partial.Store(!w.drained())
	return timed
}

// endControl is called when a ping or a pong was read, on the goroutine that reads.
func (w *wire) endControl() {
	if w.timing.CompareAndSwap(timedHeader, betweenMessages) {
		w.setReadDeadline(time.Time{})
	}
	w.partial.Store(len(w.ahead) > 0 || w.reader.Buffered() > 0)
}

// headerIsLate reports whether err says that a frame's header was not complete in
// time.
func (w *wire) headerIsLate(err error) bool {
	return w.timing.Load() == timedHeader && errors.Is(err, os.ErrDeadlineExceeded)
}

// setReadDeadline sets the read deadline, unless a close frame was sent, whose
// deadline is final.
func (w *wire) setReadDeadline(t time.Time) {
	w.closeMu.Lock()
	defer w.closeMu.Unlock()
	if !w.closeSent {
		_ = w.SetReadDeadline(t) // if it fails, the next read fails
	}
}
