package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	socketScheme = "unix:" // before the path of a Unix socket

	// socketMode lets the owner and the group of the socket's file connect: it takes the
	// right to write to the file.
	socketMode = 0o660

	// maxSocketPath is the longest path that every system takes, with the suffix of
	// removeStale: Linux takes 107 bytes, and the BSDs 103.
	maxSocketPath = 95
)

// socketPath returns the path of host if it names a Unix socket.
func socketPath(host string) (path string, ok bool) { return strings.CutPrefix(host, socketScheme) }

func checkSocketPath(path string) error {
	switch {
	case path == "" || strings.HasSuffix(path, "/"):
		return fmt.Errorf("expected a path like unix:/run/rtdb.sock but got %q", socketScheme+path)
	case path[0] == '@':
		return fmt.Errorf("%q is an abstract socket, which every user of the machine may connect to: use a path like unix:/run/rtdb.sock", socketScheme+path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("the path of a Unix socket has at most %d bytes but %q has %d: choose a shorter one", maxSocketPath, path, len(path))
	}
	return nil
}

// A unixListener listens on a Unix socket. When it is closed, it removes the socket's
// file, unless the file is another server's by now.
type unixListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo // nil if it is not known
	once sync.Once
}

// Close closes the listener.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
			_ = os.Remove(l.path) // a file that stays is replaced by the next start
		}
	})
	return l.UnixListener.Close()
}

// listenUnix listens on a Unix socket. It replaces a socket's file on which nobody
// listens, which a server that was killed leaves behind. Meanwhile it locks the
// directory: of two servers that start at the same time, one could otherwise remove the
// file on which the other one is about to listen.
func listenUnix(path string) (net.Listener, error) {
	defer lockDirectory(filepath.Dir(path))()
	var l *net.UnixListener
	bind := func() (err error) {
		withFileMode(socketMode, func() {
			l, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
		})
		return err
	}
	err := bind()
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		err = bind()
	}
	var number syscall.Errno // its text does not repeat the path
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errSocketUsed
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("its directory does not exist: create it, or choose another path")
	case errors.Is(err, fs.ErrPermission):
		return nil, errors.New("permission denied: choose a path in a directory to which this user may write")
	case errors.As(err, &number):
		return nil, number
	case err != nil:
		return nil, err
	}
	l.SetUnlinkOnClose(false) // Close does it with more care
	file, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &unixListener{UnixListener: l, path: path, file: file}, nil
}

var errSocketUsed = errors.New("another server listens there: end it, or choose another path")

// removeStale removes a socket's file on which nobody listens. The directory is locked.
func removeStale(path string) error {
	file, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case file.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is not a socket: remove it, or choose another path")
	case isListening(path):
		return errSocketUsed
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrPermission) {
		return errors.New("a socket's file on which nobody listens is in the way, and this user may not remove it: remove it, or choose another path")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isListening reports whether a server listens on a Unix socket. If it cannot be told, it
// returns true, because then the file must stay.
func isListening(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return true
	}
	return !errors.Is(err, syscall.ECONNREFUSED)
}
