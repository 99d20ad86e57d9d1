//go:build unix

package bench

import (
	"fmt"
	"syscall"
)

// otherFiles is the number of files that the process has open besides connections.
const otherFiles = 100

// checkOpenFiles returns an error if the process may not open this many connections.
// The Go runtime has already raised the soft limit to the hard limit.
func checkOpenFiles(connections int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // if the limit is too low, a dial fails and says so
	}
	if need := uint64(connections) + otherFiles; need > uint64(limit.Cur) {
		return fmt.Errorf("%d connections need %d open files but the limit is %d: raise the limit (ulimit -n), for the server too", connections, need, limit.Cur)
	}
	return nil
}
