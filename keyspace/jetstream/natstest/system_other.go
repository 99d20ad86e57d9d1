//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package natstest

import (
	"errors"
	"os"
	"syscall"
)

// Tests are skipped, so these signals are never sent.
const (
	supported      = false
	stopSignal     = syscall.SIGKILL
	continueSignal = syscall.SIGKILL
)

func lock(*os.File) error { return errors.ErrUnsupported }
