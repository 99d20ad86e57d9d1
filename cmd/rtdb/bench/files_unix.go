//go:build unix

package bench

import (
	"fmt"
	"syscall"
)

// otherFiles are what the program opens besides connections.
const otherFiles = 100

// enoughFiles says whether so many connections can be open at once. Go has set
// the limit as high as it goes.
func enoughFiles(connections int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // then it shows
	}
	if need := uint64(connections) + otherFiles; need > uint64(limit.Cur) {
		return fmt.Errorf("%d connections need %d open files and the limit is %d: raise it (ulimit -n), for the server too", connections, need, limit.Cur)
	}
	return nil
}
