//go:build unix

package main

import "syscall"

// maxFiles is how many files may be open, 0 where that is not known. Go has set the
// limit as high as it goes.
func maxFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
