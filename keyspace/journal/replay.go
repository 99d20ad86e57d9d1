package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"rtdb/keyspace"
)

// A replay reads the writes of a store.
type replay struct {
	directory directory
	layout    *layout
	store     storeID // of all files; zero: that of the first file that is read
	apply     func(w *keyspace.Record) error

	records   int64  // the writes that were applied
	last      uint64 // the highest version
	forgotten uint64 // deletes up to this version may be missing
	tail      tail   // of the newest segment
	before    *tail  // of the segment before the newest one, if that one is empty
}

// A tail describes the end of a segment.
type tail struct {
	path   string
	header header
	whole  summary // of its header and its whole frames
	next   uint64  // the version of the next write
	torn   int64   // bytes behind its whole frames
	sealed bool

	durable uint64 // the highest offset that one of its whole frames says was durable
}

// withSeal returns the summary of the segment with a seal.
func (t *tail) withSeal() summary {
	seal := t.seal()
	return summary{t.whole.length + uint64(len(seal)), crc32.Update(t.whole.checksum, castagnoli, seal)}
}

func (t *tail) seal() []byte { return emptyFrame(frameSeal, t.header.salt, t.next, t.whole.length) }

// run reads everything.
func (p *replay) run() error {
	if p.layout.snapshot != 0 {
		if err := p.readSnapshot(); err != nil {
			return err
		}
	}
	for i, number := range p.layout.segments {
		before := p.tail
		newest := i == len(p.layout.segments)-1
		if err := p.readSegment(number, newest); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if err := p.checkChain(&before, newest); err != nil {
			return err
		}
	}
	if p.tail.sealed {
		return &DamageError{p.layout.path(segmentName(p.tail.header.number + 1)), 0, isMissing}
	}
	return nil
}

// checkChain checks that the segment before the one that was read has the length and the
// checksum that its successor's header names. The segment before may lack its seal if the
// newest segment is empty, because the process may end before it writes the seal.
func (p *replay) checkChain(before *tail, newest bool) error {
	if newest && p.tail.whole.length == headerSize {
		p.before = before
	}
	switch h := &p.tail.header; {
	case before.sealed && before.torn == 0 && before.whole == h.before:
	case !before.sealed && p.before != nil && before.withSeal() == h.before:
	case before.sealed && before.torn == 0:
		return &DamageError{p.tail.path, 0, "it does not continue the file before it, which has another length or checksum"}
	default:
		return &DamageError{before.path, int64(before.whole.length), "its end is missing or damaged"}
	}
	if p.tail.header.last+1 < before.next {
		return &DamageError{p.tail.path, 0, fmt.Sprintf("it begins after version %d, but the file before it ends with %d", p.tail.header.last, before.next-1)}
	}
	return nil
}

// open opens a file of the store.
func (p *replay) open(name, magic string, number uint64) (*reader, error) {
	r, err := openReader(p.directory, name, p.layout.path(name), magic)
	if err != nil {
		return nil, err
	}
	reason := ""
	switch {
	case p.store == storeID{}:
		p.store = r.header.store
	case r.header.store != p.store:
		reason = fmt.Sprintf("it is a file of another store: %x, not %x", r.header.store, p.store)
	}
	if r.header.number != number {
		reason = fmt.Sprintf("it is the file with number %d", r.header.number)
	}
	if reason != "" {
		return nil, errors.Join(&DamageError{r.path, 0, reason}, r.close())
	}
	p.forgotten = max(p.forgotten, r.header.forgotten)
	p.last = max(p.last, r.header.last)
	return r, nil
}

// applyFrame applies the writes of a frame, and returns the version after its last write.
func (p *replay) applyFrame(r *reader, h *frameHeader, payload []byte) (next uint64, err error) {
	d := newDecoder(h, payload)
	for {
		var w keyspace.Record
		more, err := d.decode(&w)
		if err != nil {
			return 0, &DamageError{r.path, int64(r.offset) - int64(len(payload)), err.Error()}
		}
		if !more {
			return d.next, nil
		}
		p.records++
		p.last = max(p.last, w.Version)
		if err := p.apply(&w); err != nil {
			return 0, err
		}
	}
}

// readSnapshot applies the snapshot.
func (p *replay) readSnapshot() (err error) {
	r, err := p.open(snapshotName(p.layout.snapshot), snapshotMagic, p.layout.snapshot)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for {
		h, payload, err := r.readFrame()
		switch {
		case err == io.EOF:
			return r.damage("the end of the file is missing")
		case err == errBadFrame:
			return r.damage("there is no whole frame")
		case err != nil:
			return err
		case h.kind == frameFooter && len(payload) == footerSize:
			return p.readFooter(r, payload)
		}
		if _, err := p.applyFrame(r, &h, payload); err != nil {
			return err
		}
	}
}

const footerSize = 24

func (p *replay) readFooter(r *reader, payload []byte) error {
	le := binary.LittleEndian
	p.last = max(p.last, le.Uint64(payload[8:]))
	p.forgotten = max(p.forgotten, le.Uint64(payload[16:]))
	if n := le.Uint64(payload); n != uint64(p.records) {
		return r.damage("the snapshot has %d writes, but its end says %d", p.records, n)
	}
	if _, err := r.buffer.Peek(1); err != io.EOF {
		return r.damage("something follows the end")
	}
	return nil
}

// readSegment applies a segment, and sets p.tail.
func (p *replay) readSegment(number uint64, newest bool) (err error) {
	r, err := p.open(segmentName(number), segmentMagic, number)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	t := &p.tail
	*t = tail{path: r.path, header: r.header, whole: r.whole, next: r.header.last + 1, durable: headerSize}
	for !t.sealed {
		h, payload, err := r.readFrame()
		switch {
		case err == io.EOF:
			return nil
		case err == errBadFrame:
			t.torn, err = p.tornBytes(r, number, newest)
			return err
		case err != nil:
			return err
		case h.first != t.next:
			return &DamageError{r.path, int64(t.whole.length), fmt.Sprintf("the next version is %d, but %d is expected", h.first, t.next)}
		}
		switch h.kind {
		case frameWrites:
			if t.next, err = p.applyFrame(r, &h, payload); err != nil {
				return err
			}
		case frameSeal:
			t.sealed = true
		case frameIdle:
		default:
			return &DamageError{r.path, int64(t.whole.length), fmt.Sprintf("a frame of kind %d does not belong there", h.kind)}
		}
		t.durable = max(t.durable, min(h.durable, t.whole.length))
		t.whole = r.whole
	}
	if _, err := r.buffer.Peek(1); err != io.EOF {
		return r.damage("something follows the end")
	}
	return nil
}

// tornBytes returns the number of bytes from a bad frame to the end of a segment, without
// the zeros that were not written over. If a later frame says that the bad one was durable,
// tornBytes returns a DamageError.
func (p *replay) tornBytes(r *reader, number uint64, newest bool) (int64, error) {
	f, err := p.directory.open(segmentName(number))
	if err != nil {
		return 0, err
	}
	_, err = io.CopyN(io.Discard, f, int64(r.offset))
	var rest []byte
	if err == nil {
		rest, err = io.ReadAll(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if newest && claimsBeyond(rest, r.header.salt, r.offset) {
		return 0, r.damage("there is no whole frame, although the bytes were durable once")
	}
	if newest {
		rest = bytes.TrimRight(rest, "\x00")
	}
	return int64(len(rest)), nil
}
