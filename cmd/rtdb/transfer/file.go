package transfer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// A File is written next to its target, and gets the target's name when it is whole. It is
// an [io.Writer].
type File struct {
	file      *os.File
	target    string
	overwrite bool
	direct    bool // the target is a pipe or a device, which is written directly
}

// ErrExists is returned if the target exists and must not be replaced.
var ErrExists = errors.New("the file exists")

// Create creates a file. If overwrite is not set, the target must not exist; if it is set,
// the target may also be a pipe or a device. The caller calls Commit, Discard or Keep.
func Create(target string, overwrite bool) (*File, error) {
	f := &File{target: target, overwrite: overwrite}
	info, err := os.Stat(target)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory: name a file", target)
	case err == nil && !overwrite:
		return nil, fmt.Errorf("%s: %w", target, ErrExists)
	case err == nil && !info.Mode().IsRegular():
		f.direct = true
		f.file, err = os.OpenFile(target, os.O_WRONLY, 0)
		return f, err
	case err == nil:
		// A symbolic link must stay one.
		if f.target, err = filepath.EvalSymlinks(target); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	// The name is random, so that two programs with the same target do not share a file.
	name := fmt.Sprintf("%s.%.8s.partial", f.target, rand.Text())
	f.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	return f, err
}

// Write writes to the file.
func (f *File) Write(p []byte) (int, error) { return f.file.Write(p) }

// Commit gives the file its name. When it returns nil, the file is on the disk. If it
// fails, the file is gone.
func (f *File) Commit() error {
	if f.direct {
		return f.file.Close()
	}
	err := errors.Join(f.file.Sync(), f.file.Close())
	if _, exists := os.Lstat(f.target); err == nil && exists == nil && !f.overwrite {
		err = fmt.Errorf("%s: %w", f.target, ErrExists)
	}
	if err == nil {
		err = os.Rename(f.file.Name(), f.target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.file.Name()))
	}
	return syncDirectory(filepath.Dir(f.target))
}

// Discard removes the file. It does nothing to a pipe or a device.
func (f *File) Discard() error {
	err := f.file.Close()
	if !f.direct {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	return err
}

// Keep closes the file without renaming it, and returns its name.
func (f *File) Keep() (name string, err error) { return f.file.Name(), f.file.Close() }

// syncDirectory makes a rename in the directory durable.
func syncDirectory(path string) error {
	if runtime.GOOS == "windows" { // it has no such call
		return nil
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
