//go:build unix && !linux

package transport

// limitUnsent does nothing where the system has no such limit.
func limitUnsent(int) {}
