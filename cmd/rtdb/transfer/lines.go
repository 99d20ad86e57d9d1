package transfer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

const (
	inputBytes = 256 << 10

	// maxLine is the longest line. It bounds the memory for an input without line ends.
	maxLine = 256 << 20
)

// byteOrderMark is put at the beginning of a file by some editors.
var byteOrderMark = []byte("\ufeff")

// A lineReader reads the lines of an import.
type lineReader struct {
	in     *bufio.Reader
	most   int // bytes of a line
	number int64
	buffer []byte
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, inputBytes), most: maxLine}
}

// next returns the next line that is not blank, and its number. The text is valid until
// the next call. At the end it returns io.EOF. A line that is too long is a *LineError,
// after which next may be called again.
func (r *lineReader) next() (text []byte, number int64, err error) {
	for {
		text, err := r.read()
		if err != nil {
			return nil, r.number, err
		}
		if r.number == 1 {
			text = bytes.TrimPrefix(text, byteOrderMark)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return text, r.number, nil
		}
	}
}

// read returns the next line.
func (r *lineReader) read() ([]byte, error) {
	r.number++
	r.buffer = r.buffer[:0]
	tooLong := false
	for {
		piece, err := r.in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return nil, fmt.Errorf("cannot read the input: %w", err)
		}
		if tooLong = tooLong || len(r.buffer)+len(piece) > r.most; !tooLong {
			r.buffer = append(r.buffer, piece...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case tooLong:
			return nil, &LineError{Line: r.number, Err: fmt.Errorf("it is longer than %d bytes", r.most)}
		case err == io.EOF && len(r.buffer) == 0:
			return nil, io.EOF
		default:
			return r.buffer, nil
		}
	}
}
