package main

import "syscall"

var systemEndingSignals = []syscall.Signal{syscall.SIGPWR, 37} // SIGRTMIN+3

// systemQuietSignals are SIGSTKFLT and the real-time signals that can be caught.
var systemQuietSignals = func() []syscall.Signal {
	all := []syscall.Signal{16, 35, 36}
	for s := syscall.Signal(38); s <= 64; s++ {
		all = append(all, s)
	}
	return all
}()
