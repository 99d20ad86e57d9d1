//go:build unix && !linux

package main

import "os"

var (
	systemStopSignals []os.Signal
	ignoredSignals    []os.Signal
)
