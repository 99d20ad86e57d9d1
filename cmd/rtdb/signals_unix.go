//go:build unix

package main

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// stopSignals end the server gracefully. SIGQUIT is among them because terminals send it
// (Ctrl-\), and process managers that stop other servers by it.
var stopSignals = slices.Concat([]os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, systemStopSignals)

func ignoreSignals() {
	// Otherwise a log whose reader has gone would end the process (SIGPIPE), and a log
	// on the terminal of another job would stop it (SIGTTOU). A handler would not do:
	// the write to the terminal would be tried again without end.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGTTOU, syscall.SIGTTIN)
	if len(ignoredSignals) > 0 {
		signal.Notify(make(chan os.Signal, 1), ignoredSignals...) // nobody receives
	}
}

// notifySuspend lets c receive the signal that suspends a job, such as Ctrl-Z.
func notifySuspend(c chan<- os.Signal) { signal.Notify(c, syscall.SIGTSTP) }

// suspend stops the process until the shell lets it go on. It waits for the signal, because
// the process may run for a moment after it has stopped itself.
func suspend() {
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	if syscall.Kill(os.Getpid(), syscall.SIGSTOP) == nil {
		<-resumed
	}
}
