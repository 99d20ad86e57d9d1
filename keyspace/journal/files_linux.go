package journal

import (
	"os"
	"strings"
	"syscall"
)

// syncData makes the data of a file and its length durable.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// extendFile makes a file longer by zeros, if its file system can do it.
func extendFile(f *os.File, length int64) {
	const fromTheStart = 0
	_ = syscall.Fallocate(int(f.Fd()), 0, fromTheStart, length)
}

// bootID names the run of the operating system. Data that was written in the same run is
// in the system's cache, even if it is not durable. bootID returns "" if the run is not
// known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
