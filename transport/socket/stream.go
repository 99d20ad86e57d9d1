package socket

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxUnasked is how many bytes a stream's client may send after its request. It has nothing
// to say there.
const maxUnasked = 64 << 10

// ErrGone means that the client has ended its stream.
var ErrGone = fmt.Errorf("socket: client ended the stream: %w", io.EOF)

// A Stream is a response whose body is text without an end, such as an event stream. It has
// taken the connection over from net/http, so an idle stream has neither net/http's
// goroutine nor its buffers, and a text takes one write(2) that does not block. An
// [HTTPStream] is for the connections that cannot be taken over. The zero value is ready for
// Accept.
//
// The session's actor calls Begin, TryWrite, Write and End, one call at a time. One goroutine
// calls Await. Cut and Sent may be called from any goroutine.
type Stream struct {
	out     output  // first, because each write begins there
	frames  *Frames // of the text that is being made, from Begin on
	chunkAt int32   // the offset of its chunk in frames
	chunked bool    // the client speaks HTTP/1.1: each text is a chunk (RFC 9112, section 7.1)

	endingSince time.Time // the first blocking write after the session began to end; the rest has StallTimeout from then on
}

// Accept takes a connection over, and reports whether it did. It does not if there is no
// descriptor (see Conn.CanTry), over HTTP/2, or if the request has a body, which may still
// come. The status is 200, and the headers are those of w; the stream adds those of the
// connection. Nothing is sent before the first TryWrite or Write. After an error the connection is gone.
func (s *Stream) Accept(w http.ResponseWriter, r *http.Request) (taken bool, err error) {
	if r.ProtoMajor != 1 || r.TLS != nil || r.Body != http.NoBody {
		return false, nil
	}
	s.out.fd.open(below(NetConn(r)))
	if !s.out.fd.usable() {
		return false, nil
	}
	// What net/http has read behind the request is dropped with its buffers. It would be
	// another request, and the connection ends with this one.
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = NetConn(r).Close()
		return false, fmt.Errorf("socket: take a stream's connection over: %w", err)
	}
	s.out.Conn = takenOver(conn)
	s.chunked = r.ProtoAtLeast(1, 1)
	f := newFrames()
	f.bytes = append(f.bytes, streamHead(w.Header(), s.chunked)...)
	s.out.keep(f)
	return true, nil
}

// streamHead returns the head of a response that ends with its connection.
func streamHead(h http.Header, chunked bool) []byte {
	var head bytes.Buffer
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	if chunked {
		h.Set("Transfer-Encoding", "chunked")
		head.WriteString("HTTP/1.1 200 OK\r\n")
	} else {
		head.WriteString("HTTP/1.0 200 OK\r\n")
	}
	_ = h.Write(&head) // a buffer takes everything
	head.WriteString("\r\n")
	return head.Bytes()
}

// Start sets the session, and the text before all others. It comes after Accept and before
// all other calls.
func (s *Stream) Start(session Session, first []byte) {
	s.out.session = session
	s.out.keep(s.finish(append(s.Begin(), first...)))
}

// chunkRoom is the space for the longest line before a chunk: its size in hexadecimal digits.
const chunkRoom = len("ffffffff\r\n")

// Begin returns a buffer to which the caller appends the next text. It passes the result to
// TryWrite, Write or End. The text may be empty.
func (s *Stream) Begin() []byte {
	s.frames = s.out.take()
	text := s.frames.bytes
	if s.chunkAt = int32(len(text)); s.chunked {
		text = append(text, "          "...)
	}
	return text
}

// finish returns the frames with the text, whose chunk it completes.
func (s *Stream) finish(text []byte) *Frames {
	f := s.frames
	s.frames = nil
	if s.chunked {
		text = endChunk(text, int(s.chunkAt))
	}
	f.bytes = text
	return f
}

// endChunk completes the chunk that begins with chunkRoom bytes at a position. An empty chunk
// is left out, because it would be the last one.
func endChunk(text []byte, at int) []byte {
	data := text[at+chunkRoom:]
	if len(data) == 0 {
		return text[:at]
	}
	text = append(strconv.AppendUint(text[:at], uint64(len(data)), 16), "\r\n"...)
	return append(append(text, data...), "\r\n"...) // data moves forward in place
}

// TryWrite writes as much of the text as it can without blocking. If done is false and err
// is nil, the rest is kept, and the next call must be Begin, and then Write or End.
func (s *Stream) TryWrite(text []byte) (done bool, err error) { return s.out.try(s.finish(text)) }

// Write writes the text. It blocks as long as the client takes a byte now and then, and
// returns ErrStalled if it takes none for StallTimeout.
func (s *Stream) Write(text []byte) error {
	f := s.finish(text)
	defer f.free()
	progress := time.Now()
	if s.out.session.Ending() {
		if s.endingSince.IsZero() {
			s.endingSince = progress
		}
		progress = s.endingSince
	}
	s.out.writing.Lock()
	defer s.out.writing.Unlock()
	return s.out.writeLocked(f.bytes[f.taken:], progress)
}

// End writes the last text, which may be nil, and ends the response and the connection. It
// takes CloseTimeout at most. If an earlier text could not be written, nothing follows it.
func (s *Stream) End(text []byte) {
	defer s.Cut()
	if text == nil {
		return
	}
	f := s.finish(text)
	defer f.free()
	if s.chunked {
		f.bytes = append(f.bytes, "0\r\n\r\n"...)
	}
	s.out.writing.Lock()
	defer s.out.writing.Unlock()
	if s.out.writeErr != nil || s.out.SetWriteDeadline(time.Now().Add(CloseTimeout)) != nil {
		return
	}
	n, _ := s.out.Conn.Write(f.bytes[f.taken:]) // it fails if the client has gone
	s.out.sent.Add(uint64(n))
}

// Cut ends the connection at once.
func (s *Stream) Cut() { _ = s.out.Close() }

// Await waits until the stream ends. If the client has gone, it calls gone with an error that
// says how. It may call gone after End, too. It drops what the client sends.
func (s *Stream) Await(gone func(error)) {
	unasked := make([]byte, 64)
	for total := 0; total <= maxUnasked; {
		n, err := s.out.Conn.Read(unasked)
		if err != nil {
			gone(err)
			return
		}
		total += n
	}
	gone(fmt.Errorf("%w: it sent more than %d bytes after the request of a stream, whose client only reads", ErrProtocol, maxUnasked))
}

// Sent returns the number of bytes that were written, with the head and the chunks' sizes.
func (s *Stream) Sent() uint64 { return s.out.sent.Load() }
