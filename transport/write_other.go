//go:build unix && !linux

package transport

import "syscall"

func write(fd int, p []byte) (n int, err error) { return syscall.Write(fd, p) }
