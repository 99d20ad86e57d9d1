//go:build race && linux

package socket

import (
	"runtime"
	"unsafe"
)

// noteRead tells the race detector that the kernel reads p. A raw system call does
// not, and it must not order goroutines either, as [syscall.Write] does: that could
// hide a race.
func noteRead(p []byte) { runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(p)), len(p)) }

// noteWrite tells the race detector that the kernel has written p.
func noteWrite(p []byte) { runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(p)), len(p)) }
