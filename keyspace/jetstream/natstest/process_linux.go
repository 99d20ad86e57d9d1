package natstest

import "syscall"

// attributes let the process end with the thread that has started it, and keep the
// terminal's interrupts from it: the test ends it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
