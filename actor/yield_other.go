//go:build !unix

package actor

import "runtime"

// Yield lets other goroutines run. A goroutine that works for longer calls it about once
// in a millisecond.
func Yield() { runtime.Gosched() }
