//go:build unix

package main

import "syscall"

// maxFiles returns the number of files that the process may open, or 0 if it is not
// known. The Go runtime has raised the soft limit to the hard limit.
func maxFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
