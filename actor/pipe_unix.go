//go:build unix && !linux

package actor

import "syscall"

func readByte(fd int) {
	var b [1]byte
	_, _ = syscall.Read(fd, b[:])
}

func writeByte(fd int) (ok bool) {
	var b [1]byte
	_, err := syscall.Write(fd, b[:])
	return err == nil
}
