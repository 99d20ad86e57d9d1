//go:build !linux

package bench

import "syscall"

// makeSlow does nothing here: more waits in the kernel then.
func makeSlow(_, _ string, _ syscall.RawConn) error {
	return nil
}
