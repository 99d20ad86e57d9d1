//go:build !unix

package main

import (
	"os"
	"syscall"
)

// stopSignals end the server gracefully. On Windows SIGTERM stands for the end of the
// console, of the user's session and of the system.
var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT}

func ignoreSignals() {}

// notifySuspend does nothing: no signal suspends a job here.
func notifySuspend(chan<- os.Signal) {}

func suspend() {}
