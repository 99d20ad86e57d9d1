package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rtdb/keyspace"
)

// A Loss is a part of a store that cannot be read.
type Loss struct {
	File   string
	Offset int64  // of the first byte that is lost
	Bytes  int64  // 0: the whole file is missing, or the number is not known
	Reason string // of the damage, if the number of bytes is not known

	// First and Last are the versions that are lost, if they are known: Last is 0
	// otherwise.
	First, Last uint64
}

// String describes the loss in a line.
func (l Loss) String() string {
	text := fmt.Sprintf("%s: %d bytes at offset %d", l.File, l.Bytes, l.Offset)
	switch {
	case l.Reason != "" && l.Reason != isMissing:
		text = fmt.Sprintf("%s: at offset %d, %s", l.File, l.Offset, l.Reason)
	case l.Bytes == 0:
		text = l.File + ": " + isMissing
	}
	switch {
	case filepath.Base(l.File) == identityName:
		return l.File + ": the name of the history, but no writes"
	case l.Last == 0:
		return text + ": an unknown number of writes"
	case l.Last == l.First:
		return fmt.Sprintf("%s: the write with version %d", text, l.First)
	}
	return fmt.Sprintf("%s: the %d writes with versions %d to %d", text, l.Last-l.First+1, l.First, l.Last)
}

// A Repair is a plan to make a new store from the undamaged parts of a damaged one.
type Repair struct {
	Dir    string
	Losses []Loss // the parts that the store loses; empty: nothing is damaged
	Keys   int    // the keys that are left and have a value

	// Resumes means that a repair was interrupted, and that Run completes it. The losses
	// are not known any more.
	Resumes bool

	contents contents
	last     uint64
	store    storeID
}

// PlanRepair reads the undamaged parts of the store in a directory. It changes nothing. The
// errors include LockedError, if a server uses the directory, and ForeignError.
func PlanRepair(dir string) (r *Repair, err error) {
	unlock, err := lockForReading(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r = &Repair{Dir: dir}
	if _, err := os.Stat(filepath.Join(dir, repairedName)); err == nil {
		r.Resumes = true
		return r, nil
	}
	d := osDirectory(dir)
	l, err := readLayout(d, dir)
	var damage *DamageError
	switch {
	case errors.As(err, &damage): // the files that are there are read
	case err != nil:
		return nil, err
	case l.fresh:
		return nil, &ForeignError{Dir: dir}
	}
	i, err := readIdentity(d, filepath.Join(dir, identityName))
	if errors.As(err, &damage) {
		r.Losses = append(r.Losses, Loss{File: damage.File, Bytes: 1})
	} else if err != nil && !isAbsent(err) {
		return nil, err
	}
	r.store, _ = i.storeID()
	r.last = i.From
	return r, r.plan(d, l)
}

// plan reads the undamaged parts of the files, and finds the losses. The files are damaged if
// a start would refuse them, and not otherwise.
func (r *Repair) plan(d directory, l *layout) error {
	start := replay{directory: d, layout: l, store: r.store, apply: func(*keyspace.Record) error { return nil }}
	refused := l.checkNumbers(max(l.snapshot, 1))
	if refused == nil {
		refused = start.run()
	}
	var damage *DamageError
	if refused != nil && !errors.As(refused, &damage) {
		return refused
	}
	known := len(r.Losses) // in the identity
	if err := r.salvage(d, l); err != nil {
		return err
	}
	switch {
	case refused == nil:
		r.Losses = r.Losses[:known]
	case len(r.Losses) == known:
		r.Losses = append(r.Losses, Loss{File: damage.File, Offset: damage.Offset, Reason: damage.Reason})
	}
	return nil
}

// salvage reads every frame that is whole.
func (r *Repair) salvage(d directory, l *layout) error {
	next := uint64(0) // the version that the next segment begins with; 0: not known
	if l.snapshot != 0 {
		if _, err := r.salvageFile(d, l.path(snapshotName(l.snapshot)), 0, false); err != nil {
			return err
		}
	}
	number := l.snapshot
	for i, n := range l.segments {
		newest := i == len(l.segments)-1
		if i == 0 && number == 0 && n != 1 {
			r.Losses = append(r.Losses, Loss{File: l.path(snapshotName(n))})
		}
		for ; number != 0 && number < n; number++ {
			r.Losses = append(r.Losses, Loss{File: l.path(segmentName(number))})
		}
		number = n + 1
		var err error
		if next, err = r.salvageFile(d, l.path(segmentName(n)), next, newest); err != nil {
			return err
		}
	}
	r.Keys, _ = r.contents.count()
	return nil
}

// salvageFile reads the frames of a file that are whole. expected is the version that the
// file begins with, or 0. It returns the version that the next file begins with, or 0. The
// torn end of the newest segment is not a loss.
func (r *Repair) salvageFile(d directory, path string, expected uint64, newest bool) (next uint64, err error) {
	name := filepath.Base(path)
	b, err := readFile(d, name)
	if err != nil {
		return 0, err
	}
	_, isSegment := parseName(name, segmentSuffix)
	var salt uint32
	if len(b) >= headerSize {
		salt = binary.LittleEndian.Uint32(b[12:])
	}
	magic := snapshotMagic
	if isSegment {
		magic = segmentMagic
	}
	h, err := parseHeader(b, magic, path)
	switch {
	case err == nil && r.store != storeID{} && h.store != r.store:
		r.Losses = append(r.Losses, Loss{File: path, Reason: "it is a file of another store, and is left out"})
		return 0, nil
	case err == nil:
		r.store = h.store
		r.last = max(r.last, h.last)
		expected = max(expected, h.last+1)
	default:
		r.Losses = append(r.Losses, Loss{File: path, Bytes: int64(min(len(b), headerSize))})
	}
	offset := uint64(min(len(b), headerSize))
	for offset < uint64(len(b)) {
		at := nextFrame(b, salt, offset)
		h, _ := parseFrameHeader(b[min(at, uint64(len(b))):], salt, at)
		if at == uint64(len(b)) && newest && !claimsBeyond(b[offset:], salt, offset) {
			return 0, nil
		}
		if at > offset {
			loss := Loss{File: path, Offset: int64(offset), Bytes: int64(at - offset)}
			if isSegment && expected != 0 && h.first > expected {
				loss.First, loss.Last = expected, h.first-1
			}
			r.Losses = append(r.Losses, loss)
		}
		if at == uint64(len(b)) {
			return 0, nil
		}
		if expected, err = r.salvageFrame(path, b[at:], &h, at); err != nil {
			return 0, err
		}
		offset = at + frameHeaderSize + uint64(h.length)
	}
	return expected, nil
}

// salvageFrame applies the writes of a frame.
func (r *Repair) salvageFrame(path string, b []byte, h *frameHeader, offset uint64) (next uint64, err error) {
	payload := b[frameHeaderSize:][:h.length]
	if h.kind == frameFooter && len(payload) == footerSize {
		r.contents.forgotten = max(r.contents.forgotten, binary.LittleEndian.Uint64(payload[16:]))
		return 0, nil
	}
	p := replay{apply: r.contents.Apply, last: r.last}
	next, err = p.applyFrame(&reader{path: path, offset: offset}, h, payload)
	r.last = p.last
	return next, err
}

// nextFrame returns the offset of the first whole frame at or after an offset, or the
// length of the file.
func nextFrame(b []byte, salt uint32, offset uint64) uint64 {
	var mark [4]byte
	binary.LittleEndian.PutUint32(mark[:], salt)
	for at := offset; at < uint64(len(b)); at++ {
		n := bytes.Index(b[at:], mark[:])
		if n < 0 {
			break
		}
		at += uint64(n)
		h, ok := parseFrameHeader(b[at:], salt, at)
		end := at + frameHeaderSize + uint64(h.length)
		if ok && end <= uint64(len(b)) && checksum(b[at+frameHeaderSize:end]) == h.payload {
			return at
		}
	}
	return uint64(len(b))
}

func readFile(d directory, name string) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// Run makes the new store, and moves the files of the damaged one into a directory inside
// the store's, whose path it returns. Clients of the old store get all values again. If Run
// is interrupted, the store cannot be opened until another repair has ended.
func (r *Repair) Run() (kept string, err error) {
	unlock, err := lockExisting(r.Dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if !r.Resumes {
		if err := r.build(); err != nil {
			return "", err
		}
	}
	d, repaired := osDirectory(r.Dir), osDirectory(filepath.Join(r.Dir, repairedName))
	// The first file is moved first. If it is not there, a repair that was interrupted had
	// moved the damaged files already, and the store's files are new ones.
	if _, err := os.Stat(repaired.path(segmentName(1))); err == nil {
		if err := r.moveDamaged(d); err != nil {
			return "", err
		}
	} else if !isAbsent(err) {
		return "", err
	}
	infos, err := repaired.list()
	if err != nil {
		return "", err
	}
	for _, info := range infos {
		if err := os.Rename(repaired.path(info.Name()), d.path(info.Name())); err != nil {
			return "", err
		}
	}
	if err := errors.Join(d.sync(), os.Remove(string(repaired)), d.sync()); err != nil {
		return "", err
	}
	kept = r.Dir
	infos, err = d.list()
	for _, info := range infos { // in the order of their names
		if strings.HasPrefix(info.Name(), "damaged-") {
			kept = d.path(info.Name())
		}
	}
	return kept, err
}

// moveDamaged moves the files of the damaged store into a directory beside them.
func (r *Repair) moveDamaged(d osDirectory) error {
	kept := osDirectory(d.path(time.Now().UTC().Format("damaged-20060102T150405Z")))
	if err := os.MkdirAll(string(kept), 0o750); err != nil {
		return err
	}
	infos, err := d.list()
	if err != nil {
		return err
	}
	for _, info := range infos {
		if info.Mode().IsRegular() && isFile(info.Name()) {
			if err := os.Rename(d.path(info.Name()), kept.path(info.Name())); err != nil {
				return err
			}
		}
	}
	return errors.Join(kept.sync(), d.sync())
}

// build writes the new store to a directory inside the store's.
func (r *Repair) build() error {
	temporary := osDirectory(filepath.Join(r.Dir, repairedName+temporarySuffix))
	if err := errors.Join(os.RemoveAll(string(temporary)), os.Mkdir(string(temporary), 0o750)); err != nil {
		return err
	}
	if r.store == (storeID{}) {
		r.store = newStoreID()
	}
	i := newIdentity(r.store).succeed(r.store)
	h := header{magic: segmentMagic, salt: newSalt(), store: r.store, number: 1, last: max(r.last, i.From), forgotten: i.From}
	if err := writeFile(temporary, segmentName(1), h.encode()); err != nil {
		return err
	}
	h.magic, h.salt = snapshotMagic, newSalt()
	w := snapshotWriter{directory: temporary, name: snapshotName(1), header: h}
	if _, err := w.write(&r.contents); err != nil {
		return err
	}
	if err := i.write(temporary); err != nil {
		return err
	}
	return errors.Join(os.Rename(string(temporary), filepath.Join(r.Dir, repairedName)), osDirectory(r.Dir).sync())
}

// isFile reports whether a name is that of a store's file.
func isFile(name string) bool {
	_, isSegment := parseName(name, segmentSuffix)
	_, isSnapshot := parseName(name, snapshotSuffix)
	return isSegment || isSnapshot || name == identityName || isOwn(name)
}
