package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A frameKind is the purpose of a frame.
type frameKind uint8

const (
	frameWrites frameKind = 1 // one or more writes
	frameIdle   frameKind = 2 // no payload: it only says that everything before it is durable
	frameSeal   frameKind = 3 // no payload: it is the last frame of a segment that has a successor
	frameFooter frameKind = 4 // the end of a snapshot
)

const (
	frameHeaderSize = 36

	// maxPayload is the longest payload that is accepted when a frame is read. The last
	// write of a frame may have a name of 1 KiB and a value of 1 GiB.
	maxPayload = frameSize + 1<<30 + 1<<16

	// frameSize is the length at which a frame gets no further write.
	frameSize = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// A frameHeader is the header of a frame. The package's documentation has its layout.
type frameHeader struct {
	length  uint32    // of the payload, in bytes
	first   uint64    // one above the highest version before the frame
	durable uint64    // the bytes of the file that were known to be durable when the frame was written
	kind    frameKind // of the payload
	count   uint32    // writes; less than 1<<24
	payload uint32    // its checksum
}

// put writes the header in front of a payload. salt is the file's, and offset the
// frame's place in the file.
func (h *frameHeader) put(b []byte, salt uint32, offset uint64) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], salt)
	le.PutUint32(b[4:], h.length)
	le.PutUint64(b[8:], h.first)
	le.PutUint64(b[16:], h.durable)
	le.PutUint32(b[24:], uint32(h.kind)|h.count<<8)
	le.PutUint32(b[28:], h.payload)
	le.PutUint32(b[32:], headerChecksum(b, offset))
}

// headerChecksum covers the header and the offset of its frame, so that a frame at another
// place does not pass.
func headerChecksum(b []byte, offset uint64) uint32 {
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], offset)
	return crc32.Update(checksum(b[:32]), castagnoli, at[:])
}

// parseFrameHeader returns the header at the beginning of b. ok is false if it is not the
// header of a frame at that offset of the file with that salt.
func parseFrameHeader(b []byte, salt uint32, offset uint64) (h frameHeader, ok bool) {
	if len(b) < frameHeaderSize {
		return h, false
	}
	le := binary.LittleEndian
	if le.Uint32(b) != salt || le.Uint32(b[32:]) != headerChecksum(b, offset) {
		return h, false
	}
	packed := le.Uint32(b[24:])
	h = frameHeader{
		length: le.Uint32(b[4:]), first: le.Uint64(b[8:]), durable: le.Uint64(b[16:]),
		kind: frameKind(packed), count: packed >> 8, payload: le.Uint32(b[28:]),
	}
	return h, h.length <= maxPayload
}

// emptyFrame returns a frame without a payload at an offset, up to which the file is
// durable.
func emptyFrame(kind frameKind, salt uint32, first, offset uint64) []byte {
	b := make([]byte, frameHeaderSize)
	h := frameHeader{first: first, durable: offset, kind: kind}
	h.put(b, salt, offset)
	return b
}

// claimsBeyond reports whether rest, which begins at an offset of a file, has the header
// of a frame that says that the file was durable beyond that offset. Then the bytes at
// the offset were durable once, too.
func claimsBeyond(rest []byte, salt uint32, offset uint64) bool {
	var mark [4]byte
	binary.LittleEndian.PutUint32(mark[:], salt)
	for i := 0; ; i++ {
		n := bytes.Index(rest[i:], mark[:])
		if n < 0 {
			return false
		}
		i += n
		if h, ok := parseFrameHeader(rest[i:], salt, offset+uint64(i)); ok && h.durable > offset {
			return true
		}
	}
}

// A DamageError means that a file is not as it was written.
type DamageError struct {
	File   string // the path of the file
	Offset int64  // of the first damaged byte or frame; the file's length if its end is missing
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("journal: %s is damaged at offset %d: %s", e.File, e.Offset, e.Reason)
}
