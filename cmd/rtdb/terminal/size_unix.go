//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// size asks the kernel. It returns 0 if the kernel does not know.
func size(out *os.File) (columns, lines int) {
	raw, err := out.SyscallConn()
	if err != nil {
		return 0, 0
	}
	_ = raw.Control(func(fd uintptr) {
		if w, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			columns, lines = int(w.Col), int(w.Row)
		}
	})
	return columns, lines
}
