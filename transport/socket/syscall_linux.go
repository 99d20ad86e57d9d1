package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of this file never block, so they are made without telling the scheduler of
// goroutines. The scheduler would watch each of them, which was 5% of the CPU of a delivery to
// one of 1000 clients. It would also wake its monitor, the thread sysmon, which then looks
// around every 20 µs until the process has been busy for a while. That was 7% of the CPU of
// the same delivery (perf, BenchmarkFanoutOneKey/window=1), and with 5000 writes a second to
// 50 clients 44% (BenchmarkFanoutPaced). The monitor still wakes when a timer is due, such
// as that of the program's reclaimer, which is due each 0.5 s. It then goes on as long as
// the process is busy.

// send is send(2). write(2) takes 5% longer, because it passes the layer of files.
func send(fd int, p []byte) (n int, errno syscall.Errno) {
	const flags = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
	noteRead(p)
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// receive is recv(2). n is -1 if it fails.
func receive(fd int, p []byte) (n int, errno syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			noteWrite(p[:n])
			return int(n), 0
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}

// epollWait returns how many events there are. It does not wait.
func epollWait(fd int, events []unix.EpollEvent) (n int) {
	count, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(count)
}

// epollControl is epoll_ctl(2).
func epollControl(epoll, operation, fd int, event *unix.EpollEvent) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(epoll), uintptr(operation), uintptr(fd), uintptr(unsafe.Pointer(event)), 0, 0)
	return errno
}
