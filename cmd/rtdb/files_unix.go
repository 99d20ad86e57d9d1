//go:build unix

package main

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// maxFiles returns the number of files that the process may open, or 0 if it is not
// known. The Go runtime has raised the soft limit to the hard limit.
func maxFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}

// fileMode is locked while the mode of new files, which is the process's, is changed.
var fileMode sync.Mutex

// withFileMode calls create, and takes from the files that it creates the rights that are
// not in mode. The process must not create other files meanwhile.
func withFileMode(mode int, create func()) {
	fileMode.Lock()
	defer fileMode.Unlock()
	defer syscall.Umask(syscall.Umask(0o777 &^ mode))
	create()
}

// lockPatience is how long a lock is waited for. A server holds it for some milliseconds.
const lockPatience = 2 * time.Second

// lockDirectory keeps other servers from using a directory at the same time, until unlock
// is called. If the directory cannot be locked, it goes on without a lock.
func lockDirectory(path string) (unlock func()) {
	directory, err := os.Open(path)
	if err != nil {
		return func() {}
	}
	for deadline := time.Now().Add(lockPatience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err := syscall.Flock(int(directory.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EWOULDBLOCK {
			break // it is locked, or the file system has no locks
		}
	}
	return func() { _ = directory.Close() } // it unlocks, too
}
