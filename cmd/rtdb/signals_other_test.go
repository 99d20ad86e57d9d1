//go:build unix && !linux

package main

import "syscall"

var systemEndingSignals, systemQuietSignals []syscall.Signal
