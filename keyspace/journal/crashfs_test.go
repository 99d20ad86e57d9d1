package journal

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// errCut is the result of every call after the power was cut.
var errCut = errors.New("the power is off")

// A disk is a file system in memory. Data that is written can be read at once, but it is
// durable only after a sync. A process uses the disk through a handle.
type disk struct {
	mu      sync.Mutex
	entries map[string]*inode // as they are read
	durable map[string]*inode
	pending []dirChange // of entries, since they were durable
	process int         // handles of other processes fail
	ops     int         // that were begun
	cutAt   int         // the power is cut at this operation; 0: never
	off     bool
	cutTime time.Time
	room    int64

	// fault is called before each operation, without the lock. If it returns an error, the
	// operation fails with it, and a write is made only in part if it is a shortWrite.
	fault func(op, name string) error
}

// An inode is a file's contents.
type inode struct {
	data    []byte // as they are read
	durable []byte
	pending []change // since they were durable
}

// A change is a write, or a truncation if data is nil.
type change struct {
	offset int
	data   []byte
}

// A dirChange is a change of a directory's entries.
type dirChange struct {
	name string
	node *inode // nil: the entry is removed
	from string // of a rename; "" if it is another change
}

// A shortWrite is a fault that writes some bytes.
type shortWrite int

func (shortWrite) Error() string { return "short write" }

func newDisk() *disk {
	return &disk{entries: map[string]*inode{}, durable: map[string]*inode{}, room: math.MaxInt64}
}

// diskOf returns a disk with files, which are durable.
func diskOf(files map[string][]byte) *disk {
	d := newDisk()
	for name, data := range files {
		d.entries[name] = &inode{data: slices.Clone(data), durable: slices.Clone(data)}
	}
	d.durable = maps.Clone(d.entries)
	return d
}

// files returns the files as they are read.
func (d *disk) files() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	for name, node := range d.entries {
		files[name] = slices.Clone(node.data)
	}
	return files
}

// start ends the process that used the disk, as a kill does, and returns a handle for the
// next one.
func (d *disk) start() handle {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.process++
	return handle{d, d.process}
}

// cut cuts the power, unless it is off.
func (d *disk) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off {
		d.off, d.cutTime = true, time.Now()
	}
}

// begun returns the number of operations that were begun.
func (d *disk) begun() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

func (d *disk) isOff() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

// afterCut returns a disk with the durable data and a random part of the rest.
func (d *disk) afterCut(random *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newDisk()
	kept := maps.Clone(d.durable)
	prefix, allOrNone := len(d.pending)+1, random.IntN(4)
	if allOrNone == 2 {
		prefix = random.IntN(len(d.pending) + 1) // a journal of the file system keeps the order
	}
	for i, c := range d.pending {
		if allOrNone == 1 || i >= prefix || allOrNone == 3 && random.IntN(2) == 0 {
			continue
		}
		if c.node == nil {
			delete(kept, c.name)
			continue
		}
		kept[c.name] = c.node
		if kept[c.from] == c.node {
			delete(kept, c.from)
		}
	}
	for name, node := range kept {
		data := node.afterCut(random)
		next.entries[name] = &inode{data: data, durable: slices.Clone(data)}
	}
	next.durable = maps.Clone(next.entries)
	return next
}

// sector is the number of bytes that a disk writes wholly or not at all.
const sector = 512

func (n *inode) afterCut(random *rand.Rand) []byte {
	b := slices.Clone(n.durable)
	every := random.IntN(3) // 1: all is kept; 2: all is lost
	for _, c := range n.pending {
		outcome := random.IntN(4)
		switch {
		case every == 2 || outcome == 1:
			if c.data != nil && random.IntN(3) == 0 { // only the length is there
				b = grow(b, c.offset+len(c.data))
			}
		case c.data == nil:
			b = b[:min(len(b), c.offset)]
		case every == 1 || outcome == 0:
			b = grow(b, c.offset+len(c.data))
			copy(b[c.offset:], c.data)
		case outcome == 2:
			n := random.IntN(len(c.data) + 1)
			b = grow(b, c.offset+n)
			copy(b[c.offset:], c.data[:n])
			if random.IntN(2) == 0 {
				b = grow(b, c.offset+len(c.data))
			}
		default:
			b = grow(b, c.offset+len(c.data))
			for at := c.offset; at < c.offset+len(c.data); {
				end := min(at/sector*sector+sector, c.offset+len(c.data))
				switch part := random.IntN(4); {
				case part < 3 && at < len(n.durable): // as before
				case part == 0: // zeros
				case part == 1:
					for i := at; i < end; i++ {
						b[i] = byte(random.Uint32())
					}
				case part == 2: // the contents of another block of the file
					copy(b[at:end], b[random.IntN(at+1):])
				default:
					copy(b[at:end], c.data[at-c.offset:])
				}
				at = end
			}
		}
	}
	return b
}

// grow makes b longer with zeros.
func grow(b []byte, length int) []byte {
	if n := length - len(b); n > 0 {
		b = append(b, make([]byte, n)...)
	}
	return b
}

// A handle is a disk, as one process sees it. It is a directory.
type handle struct {
	disk    *disk
	process int
}

// begin begins an operation, and locks the disk. If the power is cut during it, cut is
// true: it may be made in part, and its result is errCut. If err is not nil, the disk is
// not locked.
func (h handle) begin(op, name string) (cut bool, err error) {
	d := h.disk
	d.mu.Lock()
	fault := d.fault
	d.mu.Unlock()
	if fault != nil {
		if err := fault(op, name); err != nil {
			return false, err
		}
	}
	d.mu.Lock()
	if d.off || h.process != d.process {
		d.mu.Unlock()
		return false, errCut
	}
	d.ops++
	if d.ops == d.cutAt {
		d.off, d.cutTime = true, time.Now()
	}
	return d.off, nil
}

// end ends an operation, and unlocks the disk.
func (h handle) end(cut bool) error {
	h.disk.mu.Unlock()
	if cut {
		return errCut
	}
	return nil
}

func (h handle) list() (infos []fs.FileInfo, err error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.disk.off || h.process != h.disk.process {
		return nil, errCut
	}
	for name, node := range h.disk.entries {
		infos = append(infos, fileInfo{name, int64(len(node.data))})
	}
	return infos, nil
}

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string     { return i.name }
func (i fileInfo) Size() int64      { return i.size }
func (fileInfo) Mode() fs.FileMode  { return fileMode }
func (fileInfo) ModTime() time.Time { return time.Time{} }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }

func (h handle) open(name string) (io.ReadCloser, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.disk.off || h.process != h.disk.process {
		return nil, errCut
	}
	node, ok := h.disk.entries[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(&contentsReader{node: node, disk: h.disk}), nil
}

// A contentsReader reads an inode.
type contentsReader struct {
	disk *disk
	node *inode
	at   int
}

func (r *contentsReader) Read(b []byte) (int, error) {
	r.disk.mu.Lock()
	defer r.disk.mu.Unlock()
	n := copy(b, r.node.data[min(r.at, len(r.node.data)):])
	if r.at += n; n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (h handle) create(name string) (file, error) {
	cut, err := h.begin("create", name)
	if err != nil {
		return nil, err
	}
	node := h.disk.entries[name]
	if node == nil {
		node = new(inode)
		h.change(dirChange{name: name, node: node})
	} else {
		node.truncate(0)
	}
	return &openFile{h, name, node, len(node.data)}, h.end(cut)
}

func (h handle) reopen(name string, length int64) (file, error) {
	cut, err := h.begin("reopen", name)
	if err != nil {
		return nil, err
	}
	node := h.disk.entries[name]
	if node == nil {
		return nil, errors.Join(&fs.PathError{Op: "reopen", Path: name, Err: fs.ErrNotExist}, h.end(cut))
	}
	node.truncate(int(length))
	return &openFile{h, name, node, len(node.data)}, h.end(cut)
}

func (n *inode) truncate(length int) {
	if len(n.data) > length {
		n.data = n.data[:length:length]
		n.pending = append(n.pending, change{offset: length})
	}
}

// change changes the entries.
func (h handle) change(c dirChange) {
	if c.node == nil {
		delete(h.disk.entries, c.name)
	} else {
		h.disk.entries[c.name] = c.node
		delete(h.disk.entries, c.from)
	}
	h.disk.pending = append(h.disk.pending, c)
}

func (h handle) rename(from, to string) error {
	cut, err := h.begin("rename", to)
	if err != nil {
		return err
	}
	node := h.disk.entries[from]
	if node == nil {
		return errors.Join(&fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}, h.end(cut))
	}
	h.change(dirChange{name: to, node: node, from: from})
	return h.end(cut)
}

func (h handle) remove(name string) error {
	cut, err := h.begin("remove", name)
	if err != nil {
		return err
	}
	if h.disk.entries[name] == nil {
		return errors.Join(&fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}, h.end(cut))
	}
	h.change(dirChange{name: name})
	return h.end(cut)
}

func (h handle) sync() error {
	cut, err := h.begin("sync directory", "")
	if err != nil {
		return err
	}
	if !cut {
		h.disk.durable, h.disk.pending = maps.Clone(h.disk.entries), nil
	}
	return h.end(cut)
}

func (h handle) free() (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return h.disk.room, nil
}

// setFault sets the fault.
func (d *disk) setFault(fault func(op, name string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// setRoom sets the free space.
func (d *disk) setRoom(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = bytes
}

// An openFile is a file that is written from a position on.
type openFile struct {
	handle handle
	name   string
	node   *inode
	at     int
}

func (f *openFile) Write(b []byte) (int, error) {
	cut, err := f.handle.begin("write", f.name)
	var short shortWrite
	if errors.As(err, &short) {
		f.handle.disk.mu.Lock()
		defer f.handle.disk.mu.Unlock()
		f.write(b[:short])
		return int(short), io.ErrShortWrite
	}
	if err != nil {
		return 0, err
	}
	f.write(b)
	return len(b), f.handle.end(cut)
}

func (f *openFile) WriteAt(b []byte, at int64) (int, error) {
	cut, err := f.handle.begin("write at", f.name)
	if err != nil {
		return 0, err
	}
	n := f.node
	n.pending = append(n.pending, change{int(at), slices.Clone(b)})
	n.data = grow(n.data, int(at)+len(b))
	copy(n.data[at:], b)
	return len(b), f.handle.end(cut)
}

func (f *openFile) write(b []byte) {
	n := f.node
	n.pending = append(n.pending, change{f.at, slices.Clone(b)})
	n.data = grow(n.data, f.at+len(b))
	copy(n.data[f.at:], b)
	f.at += len(b)
}

func (f *openFile) Truncate(length int64) error {
	cut, err := f.handle.begin("truncate", f.name)
	if err != nil {
		return err
	}
	f.node.truncate(int(length))
	return f.handle.end(cut)
}

// extend is as a write of zeros at the end.
func (f *openFile) extend(length int64) {
	cut, err := f.handle.begin("extend", f.name)
	if err != nil {
		return
	}
	n := f.node
	if more := int(length) - len(n.data); more > 0 {
		n.pending = append(n.pending, change{len(n.data), make([]byte, more)})
		n.data = grow(n.data, int(length))
	}
	_ = f.handle.end(cut)
}

func (f *openFile) Sync() error {
	cut, err := f.handle.begin("sync", f.name)
	if errors.Is(err, syscall.EIO) { // the pages are taken for written, but are not on the disk
		f.handle.disk.mu.Lock()
		defer f.handle.disk.mu.Unlock()
		f.node.pending = nil
		return err
	}
	if err != nil {
		return err
	}
	if !cut {
		f.node.makeDurable()
	}
	return f.handle.end(cut)
}

// makeDurable makes the changes durable that are pending.
func (n *inode) makeDurable() {
	for _, c := range n.pending {
		if c.data == nil {
			n.durable = n.durable[:min(len(n.durable), c.offset)]
			continue
		}
		n.durable = grow(n.durable, c.offset+len(c.data))
		copy(n.durable[c.offset:], c.data)
	}
	n.pending = nil
}

func (f *openFile) Close() error { return nil }
