//go:build unix

package main

import (
	"sync"
	"syscall"
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
