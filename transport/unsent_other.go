//go:build unix && !linux

package transport

import "syscall"

// limitUnsent does nothing where the system has no such limit.
func limitUnsent(syscall.RawConn) {}
