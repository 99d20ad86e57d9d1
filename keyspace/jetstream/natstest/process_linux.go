package natstest

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes let the process end with the thread that has started it. A process group of
// its own keeps the terminal's interrupts from it: the test ends it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitStop waits until all threads of a child have stopped after SIGSTOP. It fails if the
// child has ended.
func awaitStop(pid int) error {
	for {
		// Without WEXITED it leaves the end of the child to exec.Cmd.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil)
		if err != unix.EINTR {
			return os.NewSyscallError("waitid", err)
		}
	}
}
