package main

import (
	"os"
	"syscall"
)

// systemStopSignals are the signals by which LXC (SIGPWR) and systemd-nspawn and Podman
// (SIGRTMIN+3) stop a container whose first process is systemd, and init the system when
// the power fails.
var systemStopSignals = []os.Signal{syscall.SIGPWR, sigRTMin + 3}

// sigRTMin is the first real-time signal, as C programs and kill(1) count them: glibc
// keeps 32 and 33 for itself.
const sigRTMin = syscall.Signal(34)

// ignoredSignals would end a Go program: 16 is SIGSTKFLT, or on MIPS SIGUSR1.
var ignoredSignals = []os.Signal{syscall.Signal(16)}
