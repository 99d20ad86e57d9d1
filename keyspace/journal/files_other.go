//go:build !linux

package journal

import "os"

// syncData makes the data of a file and its length durable.
func syncData(f *os.File) error { return f.Sync() }

// extendFile does nothing.
func extendFile(*os.File, int64) {}

// bootID returns "": the run of the operating system is not known.
func bootID() string { return "" }
