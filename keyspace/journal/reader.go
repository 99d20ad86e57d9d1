package journal

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A reader reads the frames of a segment or a snapshot, and checks them.
type reader struct {
	path   string
	header header
	offset uint64  // of the next frame
	whole  summary // of the bytes that were read
	next   uint64  // the version of the next write of a segment

	source io.ReadCloser
	buffer *bufio.Reader
	frame  []byte // the newest one that was read
}

// errBadFrame means that there is no whole frame at the reader's offset.
var errBadFrame = errors.New("journal: bad frame")

// openReader opens a file and reads its header. path is the file's, for errors.
func openReader(d directory, name, path, magic string) (*reader, error) {
	source, err := d.open(name)
	if err != nil {
		return nil, err
	}
	r := &reader{path: path, source: source, buffer: bufio.NewReaderSize(source, 64<<10), frame: make([]byte, headerSize)}
	n, err := io.ReadFull(r.buffer, r.frame)
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		r.header, err = parseHeader(r.frame[:n], magic, path)
	}
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	r.read(r.frame)
	r.next = r.header.last + 1
	return r, nil
}

func (r *reader) read(b []byte) {
	r.offset += uint64(len(b))
	r.whole = summary{r.offset, crc32.Update(r.whole.checksum, castagnoli, b)}
}

func (r *reader) close() error { return r.source.Close() }

func (r *reader) damage(reason string, args ...any) error {
	return &DamageError{r.path, int64(r.offset), fmt.Sprintf(reason, args...)}
}

// readFrame reads the next frame. The payload is valid until the next call. The error is
// io.EOF at the end of the file, errBadFrame, or an error of reading.
func (r *reader) readFrame() (h frameHeader, payload []byte, err error) {
	b, err := r.buffer.Peek(frameHeaderSize)
	if err != nil && err != io.EOF {
		return h, nil, err
	}
	if len(b) == 0 {
		return h, nil, io.EOF
	}
	h, ok := parseFrameHeader(b, r.header.salt, r.offset)
	if !ok {
		return h, nil, errBadFrame
	}
	// A damaged length must not reserve memory for bytes that the file does not have.
	size := frameHeaderSize + int(h.length)
	if r.frame = r.frame[:0]; cap(r.frame) >= size {
		r.frame = r.frame[:size]
		_, err = io.ReadFull(r.buffer, r.frame)
	} else {
		r.frame, err = readGrowing(r.buffer, size)
	}
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return h, nil, errBadFrame
	case err != nil:
		return h, nil, err
	}
	payload = r.frame[frameHeaderSize:]
	if checksum(payload) != h.payload {
		return h, nil, errBadFrame
	}
	r.read(r.frame)
	return h, payload, nil
}

// readGrowing reads size bytes. Its memory grows with the bytes that it has read.
func readGrowing(from io.Reader, size int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(from, int64(size)))
	if err == nil && len(b) < size {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
