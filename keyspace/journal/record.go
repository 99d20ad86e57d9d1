package journal

import (
	"encoding/binary"
	"errors"
	"time"
	"unsafe"

	"rtdb/keyspace"
)

// The flags of a write.
const (
	flagDelete  = 1 << iota // it has no value
	flagTouch               // it has neither a value nor the time when the value was written
	flagExpires             // it has the time when the key expires
	flagVersion             // it has its version; otherwise its version is one above that of the write before it
)

// An encoder encodes the writes of a frame.
type encoder struct {
	payload []byte
	count   uint32
	version uint64 // the base of the next explicit version
	written int64  // the base of the next time
}

// begin begins a frame. first is its header's.
func (e *encoder) begin(payload []byte, first uint64) {
	*e = encoder{payload: payload, version: first}
}

// add adds a write. explicit is true if its version may not be one above that of the write
// before it, and must be encoded.
func (e *encoder) add(w *keyspace.Record, explicit bool) {
	flags := byte(0)
	switch {
	case w.Touch:
		flags |= flagTouch
	case w.Value == nil:
		flags |= flagDelete
	}
	if !w.Expires.IsZero() {
		flags |= flagExpires
	}
	if explicit || w.Touch {
		flags |= flagVersion
	}
	b := append(e.payload, flags)
	b = binary.AppendUvarint(b, uint64(len(w.Key)))
	b = append(b, w.Key...)
	if flags&flagVersion != 0 {
		b = binary.AppendVarint(b, int64(w.Version-e.version))
		e.version = w.Version
	}
	if !w.Touch {
		b = binary.AppendVarint(b, w.Written-e.written)
		e.written = w.Written
	}
	if flags&flagExpires != 0 {
		b = binary.AppendVarint(b, expiryOf(w.Expires)-e.written)
	}
	if flags&(flagDelete|flagTouch) == 0 {
		b = binary.AppendUvarint(b, uint64(len(w.Value)))
		b = append(b, w.Value...)
	}
	e.payload = b
	e.count++
}

// expiryOf returns the first Unix millisecond that is not before t.
func expiryOf(t time.Time) int64 {
	return t.Add(time.Millisecond - 1).UnixMilli()
}

var errMalformed = errors.New("it has a write that cannot be read")

// A decoder decodes the writes of a frame.
type decoder struct {
	rest    []byte
	count   uint32 // of writes that are left
	next    uint64 // the version of the next write without an explicit one
	version uint64 // the base of the next explicit version
	written int64  // the base of the next time
}

func newDecoder(h *frameHeader, payload []byte) decoder {
	return decoder{rest: payload, count: h.count, next: h.first, version: h.first}
}

// decode decodes the next write into w. w.Key shares the payload's memory, and w.Value
// does not. At the end, more is false. The error is errMalformed.
func (d *decoder) decode(w *keyspace.Record) (more bool, err error) {
	if d.count == 0 {
		if len(d.rest) > 0 {
			return false, errMalformed
		}
		return false, nil
	}
	d.count--
	if len(d.rest) == 0 {
		return false, errMalformed
	}
	flags := d.rest[0]
	d.rest = d.rest[1:]
	key, ok := d.bytes()
	if !ok || len(key) == 0 {
		return false, errMalformed
	}
	*w = keyspace.Record{Key: unsafe.String(&key[0], len(key)), Touch: flags&flagTouch != 0}
	if flags&flagVersion != 0 {
		delta, ok := d.varint()
		if !ok {
			return false, errMalformed
		}
		d.version += uint64(delta)
		w.Version = d.version
	} else {
		w.Version = d.next
		d.next++
	}
	if !w.Touch {
		delta, ok := d.varint()
		if !ok {
			return false, errMalformed
		}
		d.written += delta
		w.Written = d.written
	}
	if flags&flagExpires != 0 {
		delta, ok := d.varint()
		if !ok {
			return false, errMalformed
		}
		w.Expires = time.UnixMilli(d.written + delta)
	}
	if flags&(flagDelete|flagTouch) == 0 {
		value, ok := d.bytes()
		if !ok {
			return false, errMalformed
		}
		w.Value = append(make([]byte, 0, len(value)), value...)
	}
	return true, nil
}

func (d *decoder) varint() (int64, bool) {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		return 0, false
	}
	d.rest = d.rest[n:]
	return v, true
}

// bytes reads a length and that many bytes.
func (d *decoder) bytes() ([]byte, bool) {
	length, n := binary.Uvarint(d.rest)
	if n <= 0 || length > uint64(len(d.rest)-n) {
		return nil, false
	}
	b := d.rest[n : n+int(length)]
	d.rest = d.rest[n+int(length):]
	return b, true
}
