package journal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	segmentSuffix   = ".log"
	snapshotSuffix  = ".snapshot"
	temporarySuffix = ".tmp" // of a file that is not complete

	numberDigits = 10 // of a file's name

	// format is the version of the files' format.
	format = 1

	headerSize = 92
)

// The first bytes of a file.
const (
	segmentMagic  = "rtdb log"
	snapshotMagic = "rtdbsnap"
)

// A header is the beginning of a segment or a snapshot. The package's documentation has
// its layout.
type header struct {
	magic     string
	salt      uint32   // begins each frame of the file
	store     storeID  // the store that the file belongs to
	number    uint64   // of the segment; in a snapshot, that of the first segment that the snapshot does not replace
	last      uint64   // no write before the file has a higher version
	forgotten uint64   // deletes up to this version may be missing
	before    summary  // of the segment before; zero in a snapshot and in the first segment
	always    bool     // each write of the file was durable before it was visible
	boot      [16]byte // a part of the bootID of the process that wrote the file; zero: not known
}

// A storeID tells the files of one store from those of another.
type storeID [16]byte

// A summary is the length and the checksum of a whole file.
type summary struct {
	length   uint64
	checksum uint32
}

func newSalt() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint32(b[:])
}

func (h *header) encode() []byte {
	b := make([]byte, 0, headerSize)
	le := binary.LittleEndian
	b = append(b, h.magic...)
	b = le.AppendUint32(b, format)
	b = le.AppendUint32(b, h.salt)
	b = append(b, h.store[:]...)
	b = le.AppendUint64(b, h.number)
	b = le.AppendUint64(b, h.last)
	b = le.AppendUint64(b, h.forgotten)
	b = le.AppendUint64(b, h.before.length)
	b = le.AppendUint32(b, h.before.checksum)
	always := uint32(0)
	if h.always {
		always = 1
	}
	b = le.AppendUint32(b, always)
	b = append(b, h.boot[:]...)
	return le.AppendUint32(b, checksum(b))
}

// A formatError means that a file has another version of the format.
type formatError struct {
	file   string
	format uint32
}

func (e *formatError) Error() string {
	return fmt.Sprintf("journal: %s has format %d, but this program knows only format %d: start the program that wrote it, or a newer one", e.file, e.format, format)
}

// parseHeader returns the header at the beginning of a file.
func parseHeader(b []byte, magic, path string) (h header, err error) {
	damaged := func(reason string) (header, error) { return h, &DamageError{path, 0, reason} }
	if len(b) < headerSize {
		return h, &DamageError{path, int64(len(b)), "the file is shorter than its header"}
	}
	b = b[:headerSize]
	le := binary.LittleEndian
	whole := le.Uint32(b[headerSize-4:]) == checksum(b[:headerSize-4])
	if string(b[:8]) != magic {
		return damaged(fmt.Sprintf("the file begins with %q, and not with %q", b[:8], magic))
	}
	if f := le.Uint32(b[8:]); f != format && whole { // every format has the same length and checksum of the header
		return h, &formatError{path, f}
	}
	if !whole {
		return damaged("the header does not match its checksum")
	}
	h = header{
		magic: magic, salt: le.Uint32(b[12:]), number: le.Uint64(b[32:]), last: le.Uint64(b[40:]), forgotten: le.Uint64(b[48:]),
		before: summary{le.Uint64(b[56:]), le.Uint32(b[64:])}, always: le.Uint32(b[68:]) == 1,
	}
	copy(h.store[:], b[16:])
	copy(h.boot[:], b[72:])
	return h, nil
}

func segmentName(number uint64) string {
	return fmt.Sprintf("%0*d%s", numberDigits, number, segmentSuffix)
}

func snapshotName(number uint64) string {
	return fmt.Sprintf("%0*d%s", numberDigits, number, snapshotSuffix)
}

// parseName returns the number of a segment or a snapshot. ok is false for other files.
func parseName(name, suffix string) (number uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < numberDigits {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && number > 0
}
