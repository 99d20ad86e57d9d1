package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A directory is the part of a file system that the journal uses. Its methods return when
// the change can be seen, not when it is durable.
type directory interface {
	list() ([]fs.FileInfo, error)
	open(name string) (io.ReadCloser, error)
	create(name string) (file, error)               // an empty file; it replaces a file with the same name
	reopen(name string, length int64) (file, error) // cuts a file to a length and appends to it
	rename(from, to string) error                   // replaces to
	remove(name string) error
	sync() error          // makes creations, renames and removals durable
	free() (int64, error) // the bytes that the journal may still write
}

// A file is a file that is appended to. It begins empty, or with the length to which reopen
// has cut it.
type file interface {
	io.WriteCloser
	io.WriterAt                  // of bytes that the file has already
	Sync() error                 // makes the bytes and the length of the file durable
	Truncate(length int64) error // cuts the file to a length, up to which it was written

	// extend makes the file longer with zeros, over which Write writes. It may fail
	// silently, because it only makes Sync faster.
	extend(length int64)
}

// makeDirectory makes a directory and those above it, durably, if they do not exist.
func makeDirectory(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDirectory(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return osDirectory(parent).sync()
}

// An osDirectory is a directory of the operating system.
type osDirectory string

func (d osDirectory) path(name string) string { return filepath.Join(string(d), name) }

func (d osDirectory) list() (infos []fs.FileInfo, err error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was removed meanwhile
		case err != nil:
			return nil, err
		default:
			infos = append(infos, info)
		}
	}
	return infos, nil
}

func (d osDirectory) open(name string) (io.ReadCloser, error) { return os.Open(d.path(name)) }

// fileMode lets the owner and the group read.
const fileMode = 0o640

func (d osDirectory) create(name string) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDirectory) reopen(name string, length int64) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	err = f.Truncate(length)
	if err == nil {
		_, err = f.Seek(length, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f}, nil
}

func (d osDirectory) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osDirectory) remove(name string) error { return os.Remove(d.path(name)) }

func (d osDirectory) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d osDirectory) free() (int64, error) { return freeSpace(string(d)) }

// An osFile is a file of the operating system.
type osFile struct{ *os.File }

func (f osFile) Sync() error { return syncData(f.File) }

func (f osFile) extend(length int64) { extendFile(f.File, length) }

// writeFile makes a file with contents, durably: a crash leaves either the whole file or
// the file that it was to replace.
func writeFile(d directory, name string, contents []byte) error {
	temporary := name + temporarySuffix
	f, err := d.create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.rename(temporary, name); err != nil {
		return err
	}
	return d.sync()
}
