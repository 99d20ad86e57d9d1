package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"rtdb/session"
)

const (
	// stallTimeout is how long a client may take no byte.
	stallTimeout = 10 * time.Second

	// closeTimeout is how long the server waits for the client's close
	// frame after it has sent its own.
	closeTimeout = time.Second

	// lingerTimeout is the same for a client that is still sending what is
	// too big: it reads the answer once it has sent all, and a connection
	// closed before that would take the answer away (RFC 9112, section 9.6).
	lingerTimeout = 5 * time.Second

	// settleTimeout is how long what a client is owed may take that closes. The
	// library gives its own close frame 5 s, all in all.
	settleTimeout = 4 * time.Second

	// maxControlFrame is the length of the longest frame that the library
	// writes: a header of 2 bytes and a payload of 125 (RFC 6455, 5.5).
	maxControlFrame = 2 + 125

	// readBuffer is the reader's. What it is too small for is read ahead.
	readBuffer = 256

	// stallStep is how exactly stallTimeout is kept: a write that is cut short
	// says how much was taken, and not when.
	stallStep = stallTimeout / 5
)

// A conn is the connection under a WebSocket, as the library and the session
// both use it. The library reads, and writes control frames; the session
// writes text frames past the library, for those of a server are not masked,
// so that one write takes many messages. conn keeps their frames whole and in
// order, refuses data after a close frame, and sees that a client that takes
// nothing is not waited for.
type conn struct {
	// First what each write looks at, in one line of the cache.
	writing  sync.Mutex // held for whole frames, but where torn is set
	fd       descriptor
	done     error         // why nothing more is written
	written  atomic.Uint64 // bytes
	controls atomic.Bool   // ping or pong has something: a look at it is cheaper than at mu
	torn     bool          // a frame is written in part: what comes next is its rest

	net.Conn
	early          []byte           // read from the connection and not yet by the reader, whose own it is
	ahead          *ahead           // has early; nil where that is what net/http had read
	flood          bool             // the last read took all that it had room for: more waits
	begun          atomic.Bool      // something was read that is not yet a whole frame
	message        atomic.Int32     // a message state: the reader's, but at the end the session reads too
	session        *session.Session // set before the first read or write
	linger         atomic.Bool      // the client is sending what is too big
	closing        atomic.Bool      // the session is closing the WebSocket
	echoing        atomic.Bool      // the library is, for the client did or broke the rules
	reader         *bufio.Reader    // the library's, over this
	messageTimeout time.Duration    // how long a message may take, from its first frame's header to its last byte
	reading        atomic.Int64     // since when a read waits, in nanoseconds from 1970; 0 while none does

	mu         sync.Mutex
	ping, pong []byte // frames that go out with the session's next write
	closeSent  bool   // the time to read is then the close frame's

	kept *frames // what tryMessages has left; the session's actor's own
}

// Close ends the connection, and what waits for the client.
func (c *conn) Close() error {
	c.fd.shut()
	return c.Conn.Close()
}

// Read returns first what has been read already.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		c.begun.Store(true)
		return c.readEarly(p), nil
	}
	if c.message.CompareAndSwap(inMessage, timedMessage) || c.begun.Load() && c.message.CompareAndSwap(betweenMessages, timedHeader) {
		// Only here, when a message does not come at once, for a deadline
		// for each would cost more than most messages.
		c.limitRead(time.Now().Add(c.messageTimeout))
	}
	c.session.Uncork() // there is no request left to wait for with the answers
	c.reading.Store(time.Now().UnixNano())
	defer c.reading.Store(0)
	if !c.flood {
		n, err := c.Conn.Read(p)
		c.flood = n == len(p)
		if n > 0 {
			c.begun.Store(true)
		}
		return n, err
	}
	c.flood = false // the next one goes by the connection, which knows of deadlines
	if n, ok := c.readAhead(p); ok {
		return n, nil
	}
	return c.Conn.Read(p)
}

// readAhead is for a client that sends much at once, for the reader's own buffer
// is small, and would take a system call for every few messages. It reports
// false where nothing is there yet: nobody waits with so large a buffer in hand.
func (c *conn) readAhead(p []byte) (n int, ok bool) {
	c.ahead = aheads.Get().(*ahead)
	n = c.fd.tryRead(c.ahead.bytes[:])
	if n <= 0 {
		aheads.Put(c.ahead)
		c.ahead = nil
		return 0, false
	}
	c.early = c.ahead.bytes[:n]
	c.begun.Store(true)
	return c.readEarly(p), true
}

// empty reports whether nothing of what was read is left for the reader. Once the
// session closes the WebSocket it reads too, and then nobody asks any more.
func (c *conn) empty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closing.Load() && len(c.early) == 0 && c.reader != nil && c.reader.Buffered() == 0
}

func (c *conn) readEarly(p []byte) int {
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
		if c.ahead != nil {
			aheads.Put(c.ahead)
			c.ahead = nil
		}
	}
	return n
}

// silent reports whether the reader waits for the client, and has for a while:
// then all that the client has sent was read.
func (c *conn) silent() bool {
	since := c.reading.Load()
	return since != 0 && time.Since(time.Unix(0, since)) >= time.Second
}

// The message states.
const (
	betweenMessages = iota
	timedHeader     // a frame has begun, and has to be complete in time
	inMessage
	timedMessage // and it has to be complete in time
)

// beginMessage comes when a message's first header is there. What time that has
// taken is of the message's.
func (c *conn) beginMessage() {
	if !c.message.CompareAndSwap(timedHeader, timedMessage) {
		c.message.Store(inMessage)
	}
}

// endMessage reports whether the message had a time to be complete in.
func (c *conn) endMessage() (timed bool) {
	timed = c.message.Swap(betweenMessages) == timedMessage
	if timed {
		c.limitRead(time.Time{})
	}
	c.begun.Store(!c.empty())
	return timed
}

// endControl comes when a ping or a pong is there, on whoever's goroutine reads.
func (c *conn) endControl() {
	if c.message.CompareAndSwap(timedHeader, betweenMessages) {
		c.limitRead(time.Time{})
	}
	c.begun.Store(len(c.early) > 0 || c.reader.Buffered() > 0)
}

// lateHeader reports whether the time of a header is what a read has ended by.
func (c *conn) lateHeader(err error) bool {
	return c.message.Load() == timedHeader && errors.Is(err, os.ErrDeadlineExceeded)
}

// limitRead sets the time until which reads may take, but where a close frame
// has set it for good.
func (c *conn) limitRead(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closeSent {
		_ = c.SetReadDeadline(until) // it fails where the next read fails
	}
}

// Write is the library's. Each call is one control frame: the library flushes
// frame by frame, and hijack gave it a buffer that holds its longest.
//
// Pings and pongs are left to the session's actor, which may wait: the library
// gives up a connection on which one takes 5 s. Of several pongs that wait the
// newest answers for all (RFC 6455, section 5.5.3).
func (c *conn) Write(p []byte) (int, error) {
	const opcode, opClose, opPing = 0x0f, 0x08, 0x09
	switch p[0] & opcode {
	case opClose:
		return len(p), c.writeClose(p)
	case opPing:
		c.queueControl(&c.ping, p)
	default:
		c.queueControl(&c.pong, p)
	}
	return len(p), nil
}

// mayEcho and mayClose settle who closes the WebSocket where both begin at
// once: each says so first, and then looks at the other, so that they never
// wait for each other.
func (c *conn) mayEcho() bool {
	if c.closing.Load() {
		return false
	}
	c.echoing.Store(true)
	return !c.closing.Load()
}

func (c *conn) mayClose() bool {
	c.mu.Lock()
	c.closing.Store(true)
	c.mu.Unlock()
	return !c.echoing.Load()
}

func (c *conn) queueControl(frame *[]byte, p []byte) {
	c.mu.Lock()
	first := c.ping == nil && c.pong == nil
	*frame = append((*frame)[:0], p...)
	c.controls.Store(true)
	c.mu.Unlock()
	if first { // else it was asked for, and has not come to pass
		c.session.Flush()
	}
}

// takeControl appends the control frames that wait.
func (c *conn) takeControl(frames []byte) []byte {
	if !c.controls.Load() {
		return frames
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.controls.Store(false)
	frames = append(append(frames, c.pong...), c.ping...)
	c.ping, c.pong = nil, nil
	return frames
}

// writeClose writes a close frame, after which nothing is written. One that
// the library writes of its own accord, on the reader's goroutine, comes after
// what the client is still owed.
func (c *conn) writeClose(p []byte) error {
	if c.mayEcho() {
		ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
		_ = c.session.Settle(ctx) // what then still waits has lost its chance
		cancel()
	}
	if !utf8.Valid(p[min(4, len(p)):]) { // the echo of a reason that is none (section 8.1)
		p = []byte{p[0], 2, byte(websocket.StatusInvalidFramePayloadData >> 8), byte(websocket.StatusInvalidFramePayloadData & 0xff)}
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.torn && c.done == nil {
		c.done = errStalled
	}
	if err := c.writeLocked(p); err != nil {
		return err
	}
	c.done = fmt.Errorf("transport: after the close frame: %w", net.ErrClosed)
	wait := closeTimeout
	if c.linger.Load() {
		wait = lingerTimeout
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeSent = true
	return c.SetReadDeadline(time.Now().Add(wait))
}

// writeMessages writes what tryMessages has left, then each message as one
// text frame, and the control frames that wait, all with one write.
func (c *conn) writeMessages(messages []session.Message) error {
	f := c.kept
	if c.kept = nil; f == nil {
		f = newFrames()
	}
	defer f.free()
	f.bytes = c.takeControl(f.bytes)
	f.add(messages)
	c.writing.Lock()
	defer c.writing.Unlock()
	c.torn = false
	return c.writeLocked(f.bytes[f.taken:])
}

// tryMessages is writeMessages for who must not wait: it does what can be done
// at once, keeps the rest, and reports whether there is none.
func (c *conn) tryMessages(messages []session.Message) (done bool, err error) {
	f := newFrames()
	f.bytes = c.takeControl(f.bytes)
	f.add(messages)
	if !c.writing.TryLock() {
		c.kept = f
		return false, nil
	}
	defer c.writing.Unlock()
	if c.done != nil {
		f.free()
		return true, c.done
	}
	if len(f.bytes) > 0 {
		if f.taken, c.done = c.fd.tryWrite(f.bytes); c.done == nil && f.taken < len(f.bytes) {
			c.written.Add(uint64(f.taken))
			c.torn = f.taken > 0
			c.kept = f
			return false, nil
		}
		c.written.Add(uint64(f.taken))
	}
	f.free()
	return true, c.done
}

// writeLocked writes p, for as long as the client takes a byte now and then.
// Once the session has ended, taking bytes buys no more time for what is in
// hand. After an error a frame may be cut in two, so nothing more is written.
func (c *conn) writeLocked(p []byte) error {
	progress := time.Now()
	for len(p) > 0 && c.done == nil {
		if c.done = c.SetWriteDeadline(time.Now().Add(stallStep)); c.done != nil {
			break
		}
		n, err := c.Conn.Write(p)
		c.written.Add(uint64(n))
		p = p[n:]
		if n > 0 && !c.session.Ended() {
			progress = time.Now()
		}
		switch late := errors.Is(err, os.ErrDeadlineExceeded); {
		case late && time.Since(progress) >= stallTimeout:
			c.done = errStalled
		case err != nil && !late:
			c.done = err
		}
	}
	return c.done
}

// broken reports whether nothing more can be written, not even a close frame.
func (c *conn) broken() bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.done != nil
}

// busy reports whether something is being written.
func (c *conn) busy() bool {
	if c.writing.TryLock() {
		c.writing.Unlock()
		return false
	}
	return true
}
