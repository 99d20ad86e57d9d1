package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
)

// The signals of a server are of four kinds. The manual has a table of them.
//
//   - stopSignals end it gracefully. A second one ends it at once.
//   - hangupSignal makes it read its files again.
//   - ignoredSignals, and those that Go itself ignores (see package os/signal), do
//     nothing.
//   - All others do what they do to every Go program: those that report a fault end it
//     with the stacks of all goroutines, and those of job control stop it and let it go
//     on.
type signals struct {
	stop   chan os.Signal
	hangup chan os.Signal
}

// catchSignals takes over the signals of the process.
func catchSignals() signals {
	s := signals{
		// Capacity for two: a second signal counts even if it arrives before the first
		// one is received.
		stop: make(chan os.Signal, 2),
		// Capacity for one: files that are read once more are read for all who asked.
		hangup: make(chan os.Signal, 1),
	}
	ignoreSignals()
	signal.Notify(s.stop, stopSignals...)
	signal.Notify(s.hangup, hangupSignal)
	return s
}

// hangupSignal is what a terminal sends when it is closed, and what operators send to a
// server whose files have changed. A server that nohup has started takes it, too: then
// reading the files again is all that it does.
const hangupSignal = syscall.SIGHUP

// reloadAtHangup calls reload at each hangupSignal, and then logs that the files were read.
// It returns when ended is closed.
func (s signals) reloadAtHangup(log zerolog.Logger, reload func(), ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case received := <-s.hangup:
			reload()
			log.Info().Str("signal", received.String()).Msg("files read again")
		}
	}
}

// endAtNext lets the next signal that stops the server end the process at once. A signal
// that has already arrived ends it now.
func (s signals) endAtNext() {
	signal.Stop(s.stop)
	select {
	case received := <-s.stop:
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Signal(received) // fails on systems without signals
		}
	default:
	}
}
