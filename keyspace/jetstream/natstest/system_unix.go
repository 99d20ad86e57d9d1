//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package natstest

import (
	"os"
	"syscall"
)

const (
	supported      = true
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)

// lock waits until no other process has locked the file.
func lock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			return err
		}
	}
}
