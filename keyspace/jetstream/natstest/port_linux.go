package natstest

import (
	"fmt"
	"os"
	"syscall"
)

// A port is a port of 127.0.0.1 that is reserved for a server.
type port struct {
	number int
	socket *os.File
}

// reserve takes a free port. A socket stays bound to it and does not listen. The system
// then gives the port to nobody that asks for any free port. A server that asks for this
// one gets it, because Go sets SO_REUSEADDR for listeners.
func reserve() (port, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return port{}, fmt.Errorf("reserve a port: %w", os.NewSyscallError("socket", err))
	}
	p := port{socket: os.NewFile(uintptr(fd), "port")}
	number, err := bind(fd)
	if err != nil {
		p.release()
		return port{}, fmt.Errorf("reserve a port: %w", err)
	}
	p.number = number
	return p, nil
}

// bind binds a socket to a free port of 127.0.0.1.
func bind(fd int) (number int, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}

func (p port) addr() string { return fmt.Sprintf("127.0.0.1:%d", p.number) }

func (p port) release() { _ = p.socket.Close() }
